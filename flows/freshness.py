"""How old messages are when the store has them. This file follows them there by batch, never one by one."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from flows.messages import NO_TIME_MS
from scoring.events import EventBatch, Int64s


@dataclass(slots=True)
class _Line:
    """
    The messages of one topic partition on their way to the store.

    Attributes:
        batches: offsets and Kafka timestamps of what was read and is not stored, in offset order.
        behind_since_ms: no message that the store lacks is older, as far as is known without reading it.
    """

    batches: deque[tuple[Int64s, Int64s]] = field(default_factory=deque)
    behind_since_ms: int | None = None

    def take(self, next_offset: int) -> list[Int64s]:
        """Let go of what stands before an offset; answer its timestamps."""
        taken = []
        while self.batches and self.batches[0][0][0] < next_offset:
            offsets, times_ms = self.batches.popleft()
            count = int(np.searchsorted(offsets, next_offset))
            taken.append(times_ms[:count])
            if count < len(offsets):
                self.batches.appendleft((offsets[count:], times_ms[count:]))
        return taken


class Freshness:
    """
    Measure, for the messages of all shards, the time from Kafka's timestamp to the store.

    The dataflow's thread says what was read, the writer's what was stored. A message without a timestamp
    is left out. Where Kafka stamps messages with the sender's time, that is what is measured from.
    """

    def __init__(self) -> None:
        self._lines: defaultdict[tuple[int, int], _Line] = defaultdict(_Line)
        self._lock = Lock()

    def forget(self, partition: int) -> None:
        """Forget what was on its way: the shard is not ours, or claimed anew, and read from where the store is."""
        with self._lock:
            for place in [place for place in self._lines if place[0] == partition]:
                del self._lines[place]

    def read(self, batch: EventBatch) -> None:
        """Note messages that a shard has taken."""
        if len(batch):
            with self._lock:
                line = self._lines[batch.partition, batch.topic]
                line.batches.append((batch.offset, batch.ingest_time_ms))

    def stored(self, partition: int, next_offset: Sequence[int | None], now_ms: int) -> Int64s:
        """Note that the store holds all before these offsets, by topic; answer how old each message is now, in ms."""
        with self._lock:
            taken = [np.empty(0, np.int64)]
            for topic, offset in enumerate(next_offset):
                line = self._lines.get((partition, topic))
                if line is None or offset is None:
                    continue
                for times_ms in line.take(offset):
                    known = times_ms[times_ms != NO_TIME_MS]
                    if len(known):
                        line.behind_since_ms = max(line.behind_since_ms or 0, int(known[-1]))
                        taken.append(known)
        return np.maximum(now_ms - np.concatenate(taken), 0)

    def lag_ms(self, partition: int, topic: int, messages: int, now_ms: int) -> int:
        """
        Answer the age of the first message that the store lacks, 0 when it lacks none.

        Of a message that is not read yet the age is not known: it came after the newest that is stored, and
        after the last look that found nothing missing; before the first such look, it counts from the first.
        """
        with self._lock:
            line = self._lines[partition, topic]
            if not messages:
                line.behind_since_ms = now_ms
                return 0
            if line.batches and (first_ms := int(line.batches[0][1][0])) != NO_TIME_MS:
                return max(0, now_ms - first_ms)
            if line.behind_since_ms is None:
                line.behind_since_ms = now_ms
            return max(0, now_ms - line.behind_since_ms)
