"""`tierwise rekey` as an operator runs it. This file starts it, feeds it, kills it, and looks what it has copied."""

import json
import os
import random
import re
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from confluent_kafka import Producer

from flows.dev.child import Child, free_port
from flows.dev.worker_metrics import fetch_metrics
from tests.conftest import REPOSITORY
from tests.integration.outcome import Broker, read_all
from tests.integration.worker_process import QUICK_GROUP

END_DEADLINE_S = 60.0
STOP_DEADLINE_S = 15.0
SENT_FROM_MS = time.time_ns() // 1_000_000
"""
Messages must be of today: a broker that comes back after a crash forgets the producers whose newest message
is older than producer.id.expiration.ms, a day, and so takes what they send once more for new.
"""
QUICK_TRANSACTIONS = {"transaction.timeout.ms": "3000"}
"""So that a broker soon ends what a killed process left open."""


class HopProcess:
    """One `tierwise rekey`, or another command that carries messages from topic to topic; it dies with the test."""

    def __init__(self, name: str, settings: Path, *options: str, port: int | None = None) -> None:
        self._name = name
        self.port = port or free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        env |= {"PYTHONPATH": str(REPOSITORY), "TIERWISE_HTTP__PORT": str(self.port)}
        command = [sys.executable, "-m", "flows.cli", name, "--settings", str(settings), *options]
        self.child = Child(name, command, env)

    @property
    def log(self) -> str:
        """Give all it has logged."""
        return self.child.log_tail(1_000_000)

    def wait_until(self, holds: Callable[[], bool], deadline_s: float = END_DEADLINE_S) -> None:
        """Return once the condition holds; fail with the log when it ends before, or the time is up."""
        self.child.wait_until(holds, deadline_s)

    def wait_end(self) -> int:
        """Return the exit code once it has ended by itself."""
        give_up_s = time.monotonic() + END_DEADLINE_S
        while self.child.exit_code is None:
            assert time.monotonic() < give_up_s, f"still running; its log:\n{self.log}"
            time.sleep(0.02)
        return self.child.exit_code

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        return self.child.stop(STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.child.stop(with_signal=9)

    def owned(self) -> int:
        """Count the partitions it was given last."""
        found = re.findall(r"event=partitions.assigned .*owns=(\S+)", self.log)
        return 0 if not found or found[-1] == "none" else len(found[-1].split(","))

    def metric(self, name: str) -> float:
        """Give one metric, named without prefix and command; 0 while there is none."""
        found = fetch_metrics(self.port) or {}
        return next((value for full, value in found.items() if full.endswith(f"_{self._name}_{name}")), 0.0)

    def counts(self) -> dict[str, int]:
        """Read the counts of its last line."""
        (line,) = re.findall(r"event=\w+\.stopped (.*)", self.log)
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)(?= |$)", line)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass
class Hop:
    """Two topics of one test, and what was sent to the first one."""

    kafka: Broker
    prefix: str
    folder: Path
    inputs: Sequence[str] = ()
    sent: int = 0
    settings: Path = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.target = f"{self.prefix}.raw", f"{self.prefix}.keyed"
        settings = {"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 5, "log_level": 0}
        self._producer = Producer({**settings, "enable.idempotence": True})
        self.settings = self.folder / "rekey.yaml"
        self.write()

    def write(self, **changed: str) -> None:
        """Write the settings, some of Kafka's changed; a dot is spelled as two underscores."""
        kafka = {**self.kafka.client_settings, **QUICK_GROUP, **QUICK_TRANSACTIONS}
        kafka |= {name.replace("__", "."): value for name, value in changed.items()}
        content = {
            "prefix": self.prefix,
            "kafka": kafka,
            "topics": {"input": list(self.inputs or [self.target])},
        }
        self.settings.write_text(yaml.safe_dump(content), encoding="utf-8")

    def rekey(self, *options: str) -> HopProcess:
        """Start one process."""
        return HopProcess("rekey", self.settings, "--from", self.source, "--to", self.target, *options)

    def run_to_end(self, *options: str) -> dict[str, int]:
        """Copy what there is now and return the counts."""
        with self.rekey("--until-end", *options) as process:
            assert process.wait_end() == 0, process.log
            return process.counts()

    def send(self, count: int, partitions: int) -> None:
        """Send numbered events under wrong keys; all of a user from one partition, so that they have an order."""
        for number in range(self.sent, self.sent + count):
            user_id = f"u{random.Random(number).randrange(60)}"
            self._producer.produce(
                self.source,
                key=b"session-%d" % (number % 7),
                value=json.dumps({"event_id": f"e{number}", "user_id": user_id}),
                partition=zlib.crc32(user_id.encode()) % partitions,
                timestamp=SENT_FROM_MS + number,
            )
        assert self._producer.flush(30) == 0
        self.sent += count

    def copies(self, isolation: str = "read_committed") -> "Copies":
        """Read the target."""
        return Copies(read_all(self.kafka, self.target, {"isolation.level": isolation}))

    def assert_each_once(self) -> None:
        """Check that all that was sent is copied, nothing twice, once the broker has ended open transactions."""
        give_up_s = time.monotonic() + END_DEADLINE_S
        while (copies := self.copies()).times.total() < self.sent and time.monotonic() < give_up_s:
            time.sleep(0.2)
        assert copies.times == Counter(range(self.sent))
        assert all(len(held) == 1 for held in copies.partitions.values())
        assert copies.is_in_order


class Copies:
    """Numbered events as the target has them."""

    def __init__(self, messages: Iterable[Any]) -> None:
        self.times: Counter[int] = Counter()
        self.partitions: dict[str, set[int]] = defaultdict(set)
        self.is_in_order = True
        newest: dict[str, int] = {}
        for message in messages:
            event = json.loads(message.value())
            user_id, number = event["user_id"], int(event["event_id"].removeprefix("e"))
            assert message.key() == user_id.encode()
            assert message.timestamp()[1] == SENT_FROM_MS + number
            self.times[number] += 1
            self.partitions[user_id].add(message.partition())
            self.is_in_order &= newest.get(user_id, -1) < number
            newest[user_id] = number

    def assert_each_at_least_once(self, count: int) -> None:
        """Check that so many are there, some perhaps again, each user's in one partition."""
        assert set(self.times) == set(range(count))
        assert all(len(held) == 1 for held in self.partitions.values())


class Feed:
    """Send on a thread of its own, a batch every now and then, while a test does something else."""

    def __init__(self, hop: Hop, partitions: int, batch: int = 200, pause_s: float = 0.05) -> None:
        self._hop, self._partitions, self._batch, self._pause_s = hop, partitions, batch, pause_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._pause_s):
            self._hop.send(self._batch, self._partitions)


def copy_under_kills(hop: Hop, *, kills: int, partitions: int, seed: int) -> int:
    """Kill rekey so many times at random moments under load, then let it end; answer what was left to copy."""
    rng = random.Random(seed)
    with Feed(hop, partitions):
        for kill in range(kills):
            with hop.rekey() as process:
                process.wait_until(lambda: process.owned() > 0)
                time.sleep(0.1 + rng.random())  # Anywhere within a transaction, or between two.
                # Behind a transaction that was never ended the embedded broker shows no offsets.
                if kill == 0:
                    process.wait_until(lambda: process.metric("read_total") > 0)
                process.kill()
    return hop.run_to_end()["read"]
