"""What drives a shard in property tests, and compares what is published. This file knows no property."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck

from scoring.decoder import Decoder
from scoring.events import LadderChange
from scoring.shard import Shard
from sinks.change_topic import entry_of
from tests.memory_store import MemoryStore
from tests.strategies import Stream

TOPICS = ("clickstream", "orders")
FUTURE_TOLERANCE_MS = 300_000
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


class ShardDriver(ABC):
    """
    Feed a shard in any cuts; how it is started and committed, whoever inherits says.

    Attributes:
        left: by topic, what is still to be read.
    """

    stream: Stream
    store: MemoryStore
    decoder: Decoder
    shard: Shard
    left: list[list[tuple[int, bytes | None, int]]]

    def rewind(self) -> None:
        """Read on from the offsets in the store."""
        self.left = [
            [message for message in messages if message[0] >= offset]
            for messages, offset in zip(self.stream.topics, self.store.offsets, strict=True)
        ]

    def read(self, topic: int, count: int) -> None:
        """Take the next messages of a topic, read back whom they need, and score what can be ordered."""
        messages, self.left[topic] = self.left[topic][:count], self.left[topic][count:]
        offsets = np.array([offset for offset, _, _ in messages], np.int64)
        ingested = np.array([ingest_time_ms for _, _, ingest_time_ms in messages], np.int64)
        values = [value for _, value, _ in messages]
        missing = self.shard.add(self.decoder.decode(0, topic, values, offsets, ingested))
        found = {user: self.store.cold[user] for user in missing if user in self.store.cold}
        self.shard.take_back(list(found), list(found.values()))
        self.shard.advance([not left for left in self.left], [False] * len(TOPICS))
        assert self.shard.counters.conserved()

    @abstractmethod
    def commit(self, chunk_users: int = 500, writes: int | None = None) -> None:
        """Write what changed; with `writes` no more than so many of the atomic writes happen."""

    def finish(self) -> None:
        """Read all that is left, let time pass to the stream's end, commit."""
        for topic in range(len(TOPICS)):
            self.read(topic, len(self.left[topic]))
        self.shard.fire(self.stream.silent_until_ms)
        self.commit()


def by_user(changes: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group published changes by user, in order."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        grouped.setdefault(change["user_id"], []).append(change)
    return grouped


def assert_close(mine: Any, theirs: Any, where: str) -> None:
    """Compare published values: numbers within 1e-9 and the last published digit, all else exactly."""
    if isinstance(theirs, dict):
        assert isinstance(mine, dict), (where, mine)
        assert list(mine) == list(theirs), (where, mine, theirs)
        for key in theirs:
            assert_close(mine[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs), (where, mine, theirs)
        for n, (left, right) in enumerate(zip(mine, theirs, strict=True)):
            assert_close(left, right, f"{where}[{n}]")
    elif isinstance(theirs, float):
        assert abs(mine - theirs) <= 1.01e-6 + 1e-9 * abs(theirs), (where, mine, theirs)
    else:
        assert mine == theirs, (where, mine, theirs)


def published(changes: Sequence[LadderChange]) -> dict[str, list[dict[str, Any]]]:
    """Answer what subscribers read, per user."""
    return by_user([json.loads(entry_of(change).value) for change in changes])
