"""One worker test's world. This file holds its topics, settings and sender, and looks what came out."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from flows.dev.embedded import KafkaServer, ValkeyServer
from flows.dev.generator import Message
from scoring.policy import Policy
from tests.conftest import Topics
from tests.integration.outcome import Outcome, Sender, assert_same, expected, observed, read_all
from tests.integration.worker_process import WorkerProcess, write_settings

Place = tuple[ValkeyServer, KafkaServer, redis.Redis, Topics, str, Path]
"""The first things that a bench or a site is told."""


@dataclass
class Bench:
    """The servers of one test with its topics, settings and sender."""

    valkey: ValkeyServer
    kafka: KafkaServer
    store: redis.Redis
    topics: Topics
    prefix: str
    folder: Path
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        everything = self.inputs[0] if len(self.inputs) == 1 else ""
        names = {
            "clickstream": everything or self.topics.clickstream,
            "orders": everything or self.topics.orders,
        }
        self.sender = Sender(self.kafka, self.topics.partitions, self.inputs, names)
        self.settings = self.write()

    def write(self, inputs: Sequence[str] = (), **changed: Any) -> Path:
        """Write the settings file once more, changed."""
        topics = {
            "input": list(inputs or self.inputs),
            "changes": self.topics.changes,
            "dead_letters": self.topics.dead_letters,
        }
        settings: dict[str, Any] = {"prefix": self.prefix, "group": self.topics.group, "topics": topics}
        return write_settings(self.folder, self.valkey, self.kafka, {**settings, **changed})

    def send(self, *events: dict[str, Any], topic: str = "clickstream") -> None:
        """Send single events, each stamped with its own time."""
        messages = [
            Message(topic, event["user_id"].encode(), json.dumps(event).encode(), event["event_time"])
            for event in events
        ]
        self.sender.send(messages)

    def meta(self, partition: int) -> dict[str, str]:
        """Read what is stored of a shard as a whole, without its salt."""
        found = self.store.hgetall(f"{self.prefix}:shard:{{{partition:02d}}}:meta")
        return {name.decode(): value.decode() for name, value in found.items() if name != b"salt"}

    def written(self) -> int:
        """Count the messages that are done with, from the offsets in the store."""
        metas = [self.meta(partition) for partition in range(self.topics.partitions)]
        return sum(int(value) for meta in metas for name, value in meta.items() if name.startswith("offset:"))

    def writes(self) -> int:
        """Count the atomic writes of all shards so far."""
        metas = [f"{self.prefix}:shard:{{{one:02d}}}:meta" for one in range(self.topics.partitions)]
        return sum(int(self.store.hget(meta, "number") or 0) for meta in metas)

    def outbox(self) -> int:
        """Count the entries that are durable and not yet known to be published."""
        return sum(
            self.store.xlen(f"{self.prefix}:shard:{{{partition:02d}}}:outbox")
            for partition in range(self.topics.partitions)
        )

    def profile(self, user_id: str) -> dict[str, str]:
        """Read one profile."""
        found = self.store.hgetall(f"{self.prefix}:user:{user_id}")
        return {name.decode(): value.decode() for name, value in found.items()}

    def wait_done(self, worker: WorkerProcess, messages: int) -> None:
        """Wait until all messages are scored and everything of them is published."""
        worker.wait_until(lambda: self.written() == messages and self.outbox() == 0)

    def observed(self) -> Outcome:
        """Read what came out."""
        return observed(
            self.store,
            self.kafka,
            self.prefix,
            self.inputs,
            self.topics.changes,
            self.topics.dead_letters,
        )

    def assert_each_once(self, policy: Policy) -> None:
        """Check that what came out is what the reference says, with no change published again."""
        found = self.observed()
        assert_same(found, expected(policy, self.sender))
        changes = sum(len(of_user) for of_user in found.changes.values())
        assert len(read_all(self.kafka, self.topics.changes)) == changes


class Load:
    """A sender on a thread of its own."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self.count = 0

    def start(self, messages: list[Message], seconds: float) -> None:
        """Send all messages, spread over this time."""
        self._thread = threading.Thread(target=self._run, args=(messages, seconds), daemon=True)
        self._thread.start()

    def finish(self) -> int:
        """Wait until all are sent; answer how many."""
        if self._thread is not None:
            self._thread.join()
        return self.count

    def _run(self, messages: list[Message], seconds: float) -> None:
        started_s, step = time.monotonic(), max(1, len(messages) // 200)
        for first in range(0, len(messages), step):
            wait_s = started_s + seconds * first / len(messages) - time.monotonic()
            self._is_stopped.wait(max(0.0, wait_s))
            self.count += self._sender.send(messages[first : first + step])


def now_ms() -> int:
    """Give the Unix time."""
    return time.time_ns() // 1_000_000
