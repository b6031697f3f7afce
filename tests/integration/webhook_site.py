"""`tierwise webhooks` as an operator runs it, and endpoints as others do. This file starts both, and feeds them."""

import json
import os
import ssl
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml
from confluent_kafka import Producer

from flows.dead_letters.letter import Letter
from flows.dev.child import Child, free_port
from flows.dev.worker_metrics import fetch_metrics
from scoring.events import LadderChange
from sinks.change_topic import entry_of, tombstone_of
from tests.conftest import REPOSITORY, Topics
from tests.integration.outcome import Broker, read_all
from tests.integration.worker_process import QUICK_GROUP

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
QUICK_PLAN = ["0s", "50ms", "100ms"]
Reply = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Call:
    """One request as it arrived; `at_s` by the clock of this process."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def id(self) -> str:
        """Name the change."""
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        """Give the change itself."""
        document: dict[str, Any] = json.loads(self.body)
        return dict(document["data"])


class Receiver:
    """An endpoint: it keeps what it gets, and answers as the test wants it to."""

    def __init__(self, reply: Callable[[Call], Reply] = lambda _: (200, {})) -> None:
        self.reply = reply
        self.calls: list[Call] = []
        self.server_names: list[str | None] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if (
                    len(body) < size
                ):  # The sender was killed in the middle of it: no receiver takes that for a call.
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.path, headers, body, time.monotonic())
                status, more = receiver.reply(call)
                receiver.calls.append(call)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on, and keep the names that clients ask for."""
        context.sni_callback = lambda _, name, __: self.server_names.append(name)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def ids(self) -> list[str]:
        """List what arrived, in order."""
        return [call.id for call in list(self.calls)]

    def settings(self, **more: Any) -> dict[str, Any]:
        """Give the settings of this endpoint."""
        own = {"allow_http": "on", "allow_private": ["127.0.0.0/8"], "start": "earliest", "rate": 1000}
        return {"url": f"http://127.0.0.1:{self.port}/hook", "secrets": [SECRET], **own, **more}

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WebhookProcess:
    """One `tierwise webhooks`; it dies with the test."""

    def __init__(self, settings: Path, *options: str) -> None:
        self.port = free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        env |= {"PYTHONPATH": str(REPOSITORY), "TIERWISE_HTTP__PORT": str(self.port)}
        command = [sys.executable, "-m", "flows.cli", "webhooks", "--settings", str(settings), *options]
        self.child = Child("webhooks", command, env)

    @property
    def log(self) -> str:
        """Give all it has logged."""
        return self.child.log_tail(1_000_000)

    def wait_until(self, holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Return once the condition holds; fail with the log when it ends before, or the time is up."""
        self.child.wait_until(holds, deadline_s)

    def metric(self, name: str) -> float:
        """Give one metric, named without its prefix, summed over its labels; 0 while there is none."""
        found = fetch_metrics(self.port) or {}
        return next(
            (value for full_name, value in found.items() if full_name.endswith(f"_webhooks_{name}")), 0.0
        )

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        return self.child.stop(STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.child.stop(with_signal=9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass
class Hooks:
    """The change topic of one test, and what was sent to it."""

    kafka: Broker
    topics: Topics
    prefix: str
    folder: Path
    sent: dict[str, bytes] = field(default_factory=dict)
    _seqs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        settings = {"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 5, "log_level": 0}
        self._producer = Producer({**settings, "enable.idempotence": True})
        self.settings = self.folder / "webhooks.yaml"
        self.parked = f"{self.prefix}.webhooks-parked"

    def write(self, endpoints: dict[str, Any], **webhooks: Any) -> None:
        """Write the settings."""
        content = {
            "prefix": self.prefix,
            "group": self.topics.group,
            "kafka": {**self.kafka.client_settings, **QUICK_GROUP},
            "topics": {"changes": self.topics.changes},
            "webhooks": {"endpoints": endpoints, "retry_plan": QUICK_PLAN, **webhooks},
        }
        self.settings.write_text(yaml.safe_dump(content), encoding="utf-8")

    def run(self, *options: str) -> WebhookProcess:
        """Start one process."""
        return WebhookProcess(self.settings, *options)

    def publish(self, *users: str, ladder: str = "tier", up: bool = True) -> list[str]:
        """Publish the next change of each of these users; answer the ids."""
        ids = []
        for user_id in users:
            self._seqs[user_id] += 1
            seq = self._seqs[user_id]
            ranks = (0, 1) if up else (1, 0)
            change = LadderChange(
                user_id, seq, ladder, "bronze", "silver", *ranks, "event", f"e{seq}", 20.0, 0, 0, None, None,
                None, (("spend", 1.0, 20.0),), "shop@1",
            )  # fmt: skip
            entry = entry_of(change)
            self._send(entry.key, entry.value, entry.headers)
            ids.append(f"{user_id}:{seq}")
            self.sent[ids[-1]] = entry.value or b""
        assert self._producer.flush(20) == 0
        return ids

    def publish_rubbish(self) -> None:
        """Publish what is no change: a tombstone, and what somebody else may have written."""
        self._send(b"gone", tombstone_of(b"gone").value, ())
        self._send(b"u", b"\xff{", (("ce_id", b"u:1"), ("ce_type", b"x")))
        self._send(b"u", b'{"user_id": "u", "seq": 1}', ())
        assert self._producer.flush(20) == 0

    def changes(self) -> list[Any]:
        """Read the change topic."""
        return read_all(self.kafka, self.topics.changes)

    def letters(self) -> list[Letter]:
        """Read the topic of parked changes; a user's in order."""
        return [Letter.of(message) for message in read_all(self.kafka, self.parked)]

    def parked_ids(self, reason: str | None = None) -> list[str]:
        """List the ids on that topic."""
        return [
            letter.text("webhook_id") or ""
            for letter in self.letters()
            if letter.value and reason in (None, letter.reason)
        ]

    def _send(self, key: bytes | None, value: bytes | None, headers: Any) -> None:
        self._producer.produce(self.topics.changes, key=key, value=value, headers=list(headers))


def in_order(ids: list[str]) -> bool:
    """Tell whether each user's changes came first in the order of `seq`."""
    newest: dict[str, int] = defaultdict(int)
    for user_id, seq in (one.rsplit(":", 1) for one in dict.fromkeys(ids)):
        if int(seq) != newest[user_id] + 1:
            return False
        newest[user_id] = int(seq)
    return True
