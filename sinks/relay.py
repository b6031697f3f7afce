"""This file publishes the outbox to Kafka, each user's messages in order, until the broker has confirmed them."""

import time
from collections import deque
from collections.abc import Container, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np
from confluent_kafka import KafkaError

from sinks.direct_publisher import DirectPublisher
from sinks.librdkafka import DirectAccessRefused
from sinks.outbox import KINDS, Kind, OutboxBatch
from sinks.output_tail import tail_name
from sinks.parcel import Parcel
from sinks.publisher import ProducerPublisher, Publisher, Reports, log

IN_FLIGHT_MAX = 50_000
_RETRY_PAUSE_S = 0.5
_LOG_PAUSE_S = 5.0
_POLL_S = 0.02
_CLOSE_S = 1.0
_DEFAULTS = {
    "linger.ms": 5,
    # Changes are alike: a batch takes a fraction of the bytes, and the broker half of the CPU. All clients read it.
    "compression.type": "lz4",
    # What Kafka's own Java client does, so that a Java consumer can join the topic with others by partition.
    "partitioner": "murmur2_random",
}
_PROMISES = {
    "enable.idempotence": True,
    # A message that fails for good stops the producer before any later one of its partition can land.
    "enable.gapless.guarantee": True,
    # Never give up on a message while the broker is away: what is durable is published in the end.
    "delivery.timeout.ms": 0,
}


class _Shard:
    """The batches of one shard that are not known to be delivered with all before them."""

    def __init__(self, topics: Mapping[Kind, str]) -> None:
        self._topics = [topics[kind] for kind in KINDS]
        self.parcels: deque[Parcel] = deque()
        self.delivered_to: str | None = None
        self.tails: dict[str, int] = {}
        self.pending = 0

    def add(self, parcel: Parcel) -> None:
        """Take over a batch behind the others."""
        self.parcels.append(parcel)
        self.pending += parcel.batch.count

    def advance(self) -> list[Parcel]:
        """Move the contiguous mark over batches that are delivered as a whole; answer these."""
        done = []
        while self.parcels and not self.parcels[0].missing:
            parcel = self.parcels.popleft()
            self.pending -= parcel.batch.count
            self.delivered_to = parcel.batch.last_id
            for (topic, partition), end in parcel.ends().items():
                self.tails[tail_name((self._topics[topic], partition))] = end
            done.append(parcel)
        return done


class Relay:
    """
    Deliver messages at least once and each user's in order; not thread-safe.

    Messages go out one behind the other without waiting. One that fails stops the producer before a later one
    of its partition can land (librdkafka's gapless guarantee); a new producer then begins with the first
    message that is not confirmed.

    Args:
        kafka: librdkafka settings; those the promises rest on are overridden.
        topics: name of the topic by kind of message.
        in_flight_max: messages handed to the producer and not confirmed; more wait here.
        direct: publish past confluent-kafka's objects, where that works.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topics: Mapping[Kind, str],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        direct: bool = True,
    ) -> None:
        self._config = {**_DEFAULTS, **kafka, **_PROMISES}
        self._topics = dict(topics)
        self._in_flight_max = in_flight_max
        self._is_direct = direct
        self._publisher = self._new_publisher()
        self._broken_s: float | None = None
        self._held_until_s = float("-inf")
        self._shards: dict[int, _Shard] = {}
        self._numbers = count()
        self._parcels: dict[int, tuple[_Shard, Parcel]] = {}
        """Those of shards that are ours, by number, until their shard's mark has passed them."""
        self._waiting: deque[Parcel] = deque()
        self._in_flight = 0
        self._logged_s = float("-inf")
        self.failures = 0
        self.published = 0

    def publish(self, partition: int, batches: Iterable[OutboxBatch], published: Container[str] = ()) -> None:
        """
        Take over batches of a shard in stream order; they must be durable. Never blocks.

        Args:
            published: ids of messages that the broker is known to hold; they are not sent again.
        """
        shard = self._shards.setdefault(partition, _Shard(self._topics))
        for batch in batches:
            parcel = Parcel(next(self._numbers), batch, published)
            shard.add(parcel)
            self._parcels[parcel.number] = shard, parcel
            self._waiting.append(parcel)
        self._advance(shard)
        self._pump()

    def poll(self) -> None:
        """Hear what was confirmed, begin again after a failure, and hand over what was waiting."""
        self._hear(0)
        if self._broken_s is not None and self._in_flight == 0:
            if time.monotonic() - self._broken_s >= _RETRY_PAUSE_S:
                self._begin_again()
        self._pump()

    def delivered_to(self, partition: int) -> str | None:
        """Answer the last message of the newest batch that is confirmed with all before it; None before the first."""
        shard = self._shards.get(partition)
        return None if shard is None else shard.delivered_to

    def tails(self, partition: int) -> dict[str, int]:
        """Answer, by output partition, the offset behind the last message up to there (see output_tail)."""
        shard = self._shards.get(partition)
        return {} if shard is None else dict(shard.tails)

    def pending(self, partition: int) -> int:
        """Count the messages of a shard behind its mark."""
        shard = self._shards.get(partition)
        return 0 if shard is None else shard.pending

    def forget(self, partition: int) -> None:
        """Drop a shard: its next owner publishes what is left in the outbox."""
        shard = self._shards.pop(partition, None)
        for parcel in shard.parcels if shard else ():
            parcel.is_forgotten = True
            del self._parcels[parcel.number]

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False when the time was not enough."""
        give_up_s = time.monotonic() + timeout_s
        while any(shard.parcels for shard in self._shards.values()):
            if time.monotonic() >= give_up_s:
                return False
            self._hear(_POLL_S)
            self.poll()
        return True

    def close(self) -> None:
        """Drop what has not left yet, it is in the outbox, and hear of what has."""
        self._broken_s = time.monotonic()
        self._publisher.purge(in_flight=False)
        give_up_s = time.monotonic() + _CLOSE_S
        while self._in_flight and time.monotonic() < give_up_s:
            self._hear(_POLL_S)
        self._publisher.close()

    def _new_publisher(self) -> Publisher:
        if self._is_direct:
            try:
                return DirectPublisher(self._config, self._topics)
            except DirectAccessRefused as error:
                self._is_direct = False
                log.warning('event=direct_publishing.refused action="make message objects" error="%s"', error)
        return ProducerPublisher(self._config, self._topics)

    def _begin_again(self) -> None:
        self._publisher.close()
        self._publisher, self._broken_s = self._new_publisher(), None
        self._waiting = deque(parcel for shard in self._shards.values() for parcel in shard.parcels)
        for parcel in self._waiting:
            parcel.rewind()

    def _pump(self) -> None:
        if self._broken_s is not None or time.monotonic() < self._held_until_s:
            return
        while self._waiting and self._in_flight < self._in_flight_max:
            parcel = self._waiting[0]
            if not parcel.is_forgotten:
                sent, refusal = self._publisher.send(parcel, self._in_flight_max - self._in_flight)
                self._in_flight += sent
                if refusal:
                    self._hold(parcel, refusal)
                    return
                if not parcel.is_handed_over:
                    return
            self._waiting.popleft()

    def _hold(self, parcel: Parcel, refusal: int) -> None:
        """Wait with a message that did not leave: it stays the next to go."""
        if refusal == KafkaError._QUEUE_FULL:  # The producer's own bound; confirmations make room.
            self._hear(0)
            return
        entry = parcel.entries[parcel.next_index]
        self._note_failure(entry.kind, entry.id, refusal)
        self._held_until_s = time.monotonic() + _RETRY_PAUSE_S
        if refusal == KafkaError._FATAL:  # This producer takes nothing any more.
            self._broken_s = time.monotonic()

    def _hear(self, timeout_s: float) -> None:
        reports = self._publisher.reports(timeout_s)
        if reports.parcel.size:
            self._settle(reports)

    def _settle(self, reports: Reports) -> None:
        self._in_flight -= reports.parcel.size
        failed = np.flatnonzero(reports.error)
        if failed.size:
            self._break(reports, int(failed[0]))
        delivered = np.flatnonzero(reports.error == 0)
        delivered = delivered[np.argsort(reports.parcel[delivered], kind="stable")]
        numbers, first = np.unique(reports.parcel[delivered], return_index=True)
        shards = {}
        for number, own in zip(numbers.tolist(), np.split(delivered, first[1:]), strict=False):
            if number not in self._parcels:  # Of a shard that is not ours any more.
                continue
            shard, parcel = self._parcels[number]
            parcel.settle(reports.index[own], reports.topic[own], reports.partition[own], reports.offset[own])
            self.published += own.size
            shards[id(shard)] = shard
        for shard in shards.values():
            self._advance(shard)

    def _advance(self, shard: _Shard) -> None:
        for parcel in shard.advance():
            del self._parcels[parcel.number]

    def _break(self, reports: Reports, at: int) -> None:
        """Take everything back that is on its way; what was confirmed stays confirmed."""
        if self._broken_s is not None:
            return
        self._broken_s = time.monotonic()
        self._publisher.purge(in_flight=True)
        _, parcel = self._parcels.get(int(reports.parcel[at]), (None, None))
        entry_id = parcel.batch.id_of(int(reports.index[at])) if parcel else "forgotten"
        self._note_failure(KINDS[reports.topic[at]], entry_id, int(reports.error[at]))

    def _note_failure(self, kind: Kind, entry_id: str, code: int) -> None:
        self.failures += 1
        if time.monotonic() - self._logged_s >= _LOG_PAUSE_S:
            self._logged_s = time.monotonic()
            error = KafkaError(code).name()
            log.warning("event=relay.failed topic=%s entry=%s error=%s", self._topics[kind], entry_id, error)
