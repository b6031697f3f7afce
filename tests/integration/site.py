"""One test's place on the servers: topics, settings, sender, worker. This file also runs the reference."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import redis
import yaml

from config.policy_file import policy_to_document
from flows.dev.embedded import KafkaServer, ValkeyServer
from flows.dev.worker_metrics import fetch_metrics
from scoring.policy import Policy
from sinks.keyspace import OFFSET, Keyspace
from tests.conftest import Topics
from tests.integration.outcome import Outcome, Sender, expected, observed
from tests.integration.worker_process import WorkerProcess, write_settings

DONE_DEADLINE_S = 120.0
FATES = ("applied", "duplicate", "ignored", "dead_lettered", "replayed_skipped")


@dataclass
class Site:
    """Servers, names and what is set there; `inputs` are the topics read, in the order of settings."""

    valkey: ValkeyServer
    kafka: KafkaServer
    store: redis.Redis
    topics: Topics
    prefix: str
    folder: Path
    policy: Policy
    inputs: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = {"clickstream": self.topics.clickstream, "orders": self.topics.orders}
        self.sender = Sender(self.kafka, self.topics.partitions, self.inputs, names)
        self.keys = Keyspace(self.prefix)

    @contextmanager
    def worker(self) -> Iterator[WorkerProcess]:
        """Run a worker which, at the end, is asked to stop and does so cleanly."""
        policy_file = self.folder / "policy.yaml"
        policy_file.write_text(
            yaml.safe_dump(policy_to_document(self.policy), sort_keys=False), encoding="utf-8"
        )
        settings = {
            "prefix": self.prefix,
            "group": self.topics.group,
            "topics": {
                "input": list(self.inputs),
                "changes": self.topics.changes,
                "dead_letters": self.topics.dead_letters,
            },
            "policy": str(policy_file),
        }
        path = write_settings(self.folder, self.valkey, self.kafka, settings | self.settings)
        with WorkerProcess(path) as worker:
            yield worker.wait_ready()
            assert worker.stop() == 0, worker.log

    def wait_done(self, worker: WorkerProcess) -> None:
        """Wait until all that was sent is scored and all that this changed is published."""
        worker.wait_until(lambda: self.written() >= self.sent() and self.is_published(), DONE_DEADLINE_S)

    def sent(self) -> int:
        """Count the messages sent so far."""
        return sum(len(held) for by_topic in self.sender.sent.values() for held in by_topic)

    def written(self) -> int:
        """Count the messages the store has done with, by its offsets."""
        metas = [self.store.hgetall(self.keys.meta(number)) for number in range(self.topics.partitions)]
        return sum(int(text) for meta in metas for name, text in meta.items() if name.startswith(OFFSET))

    def is_published(self) -> bool:
        """Tell whether nothing waits in an outbox."""
        return not any(self.store.xlen(self.keys.outbox(number)) for number in range(self.topics.partitions))

    def metrics(self, worker: WorkerProcess) -> dict[str, float]:
        """Read what a worker has counted, each metric summed over its labels, without the prefix."""
        metrics = fetch_metrics(worker.port, timeout_s=10)
        assert metrics is not None, worker.log
        return {name.removeprefix(f"{self.prefix}_"): value for name, value in metrics.items()}

    def observed(self) -> Outcome:
        """Read what came out."""
        changes, dead_letters = self.topics.changes, self.topics.dead_letters
        return observed(self.store, self.kafka, self.prefix, self.inputs, changes, dead_letters)


def assert_conserved(metrics: dict[str, float], consumed: int) -> None:
    """Check that so many messages were consumed and that each had one fate."""
    fates = {fate: metrics.get(f"messages_{fate}_total", 0.0) for fate in FATES}
    assert metrics["messages_consumed_total"] == consumed, metrics
    assert sum(fates.values()) == consumed, fates


def expected_in_parallel(policy: Policy, sent: dict[int, Any], fire_up_to_ms: int | None = None) -> Outcome:
    """Run the reference over what was sent, two shards at a time: it is slow."""
    whole = Outcome()
    # Fresh processes: forked ones would inherit the broker clients of this one in an unknown state.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        shards = [
            pool.submit(_expected_shard, policy, number, held, fire_up_to_ms) for number, held in sent.items()
        ]
        for shard in shards:
            part = shard.result()
            whole.profiles |= part.profiles
            whole.changes |= part.changes
            whole.dead_letters |= part.dead_letters
            for audience, members in part.audiences.items():
                whole.audiences.setdefault(audience, set()).update(members)
    return whole


@dataclass
class _Sent:
    """What of a Sender the reference asks for."""

    sent: dict[int, Any]


def _expected_shard(policy: Policy, number: int, held: Any, fire_up_to_ms: int | None) -> Outcome:
    return expected(policy, _Sent({number: held}), fire_up_to_ms)  # type: ignore[arg-type]
