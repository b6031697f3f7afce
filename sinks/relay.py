"""This file publishes outbox entries to Kafka, each user's in order, until the broker has confirmed them."""

import logging
import time
from collections import deque
from collections.abc import Container, Iterable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.outbox import Kind, OutboxEntry
from sinks.output_tail import tail_name

IN_FLIGHT_MAX = 50_000
_RETRY_PAUSE_S = 0.5
_LOG_PAUSE_S = 5.0
_POLL_S = 0.02
_DEFAULTS = {
    "linger.ms": 5,
    # What Kafka's own Java client does, so that a Java consumer can join the topic with others by partition.
    "partitioner": "murmur2_random",
}
_PROMISES = {
    "enable.idempotence": True,
    # A message that fails for good stops the producer before any later one of its partition can land.
    "enable.gapless.guarantee": True,
    # Never give up on an entry while the broker is away: what is durable is published in the end.
    "delivery.timeout.ms": 0,
}
_log = logging.getLogger("tierwise.relay")


class _Shard:
    """The entries of one shard that are not known to be delivered with all before them."""

    def __init__(self) -> None:
        self.deliveries: deque[_Delivery] = deque()
        self.delivered_to: str | None = None
        self.tails: dict[str, int] = {}
        self.is_forgotten = False

    def advance(self) -> None:
        """Move the contiguous mark over what is delivered."""
        while self.deliveries and self.deliveries[0].is_delivered:
            delivery = self.deliveries.popleft()
            self.delivered_to = delivery.entry.id
            if delivery.place is not None:
                self.tails[tail_name(delivery.place)] = delivery.offset + 1


class _Delivery:
    __slots__ = ("entry", "is_delivered", "offset", "place", "shard")

    def __init__(self, shard: _Shard, entry: OutboxEntry, is_delivered: bool) -> None:
        self.shard = shard
        self.entry = entry
        self.is_delivered = is_delivered
        self.place: tuple[str, int] | None = None
        self.offset = 0


class Relay:
    """
    Deliver entries at least once and each user's in order; not thread-safe.

    Entries go out one behind the other without waiting. One that fails stops the producer before a later one
    of its partition can land (librdkafka's gapless guarantee); a new producer then begins with the first
    entry that is not confirmed.

    Args:
        kafka: librdkafka settings; those the promises rest on are overridden.
        topics: name of the topic by kind of entry.
        in_flight_max: entries handed to the producer and not confirmed; more wait here.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topics: Mapping[Kind, str],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._config = {**_DEFAULTS, **kafka, **_PROMISES}
        self._topics = dict(topics)
        self._in_flight_max = in_flight_max
        self._producer = self._new_producer()
        self._broken_s: float | None = None
        self._held_until_s = float("-inf")
        self._shards: dict[int, _Shard] = {}
        self._waiting: deque[_Delivery] = deque()
        self._in_flight = 0
        self._logged_s = float("-inf")
        self.failures = 0
        self.published = 0

    def publish(self, partition: int, entries: Iterable[OutboxEntry], published: Container[str] = ()) -> None:
        """
        Take over entries of a shard in stream order; they must be durable. Never blocks.

        Args:
            published: ids of entries that the broker is known to hold; they are not sent again.
        """
        shard = self._shards.setdefault(partition, _Shard())
        deliveries = [_Delivery(shard, entry, entry.id in published) for entry in entries]
        shard.deliveries.extend(deliveries)
        shard.advance()
        self._waiting.extend(delivery for delivery in deliveries if not delivery.is_delivered)
        self._pump()

    def poll(self) -> None:
        """Serve confirmations, begin again after a failure, and hand over what was waiting."""
        self._producer.poll(0)
        if self._broken_s is not None and self._in_flight == 0:
            if time.monotonic() - self._broken_s >= _RETRY_PAUSE_S:
                self._begin_again()
        self._pump()

    def delivered_to(self, partition: int) -> str | None:
        """Answer the newest entry that is confirmed with all before it; None before the first."""
        shard = self._shards.get(partition)
        return None if shard is None else shard.delivered_to

    def tails(self, partition: int) -> dict[str, int]:
        """Answer, by output partition, the offset behind the last entry up to there (see output_tail)."""
        shard = self._shards.get(partition)
        return {} if shard is None else dict(shard.tails)

    def pending(self, partition: int) -> int:
        """Count the entries of a shard behind its mark."""
        shard = self._shards.get(partition)
        return 0 if shard is None else len(shard.deliveries)

    def forget(self, partition: int) -> None:
        """Drop a shard: its next owner publishes what is left in the outbox."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.is_forgotten = True
            shard.deliveries.clear()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False when the time was not enough."""
        give_up_s = time.monotonic() + timeout_s
        while any(shard.deliveries for shard in self._shards.values()):
            if time.monotonic() >= give_up_s:
                return False
            self._producer.poll(_POLL_S)
            self.poll()
        return True

    def close(self) -> None:
        """Drop what has not left yet, it is in the outbox, and hear of what has."""
        self._broken_s = time.monotonic()
        self._producer.purge(in_flight=False)
        self._producer.flush(1.0)

    def _new_producer(self) -> Producer:
        # Errors of the connection heal by themselves; fatal ones are heard of by every message's confirmation.
        return Producer({**self._config, "error_cb": lambda error: None}, logger=_log)

    def _begin_again(self) -> None:
        self._producer, self._broken_s = self._new_producer(), None
        self._waiting = deque(
            delivery
            for shard in self._shards.values()
            for delivery in shard.deliveries
            if not delivery.is_delivered
        )

    def _pump(self) -> None:
        if self._broken_s is not None or time.monotonic() < self._held_until_s:
            return
        while self._waiting and self._in_flight < self._in_flight_max:
            delivery = self._waiting[0]
            if not delivery.shard.is_forgotten:
                try:
                    self._produce(delivery)
                except BufferError:  # The producer's own bound; confirmations make room.
                    self._producer.poll(0)
                    return
                except KafkaException as error:  # Refused before it left: it stays the next to go.
                    self._note_failure(delivery, error.args[0])
                    self._held_until_s = time.monotonic() + _RETRY_PAUSE_S
                    return
            self._waiting.popleft()

    def _produce(self, delivery: _Delivery) -> None:
        entry = delivery.entry
        self._producer.produce(
            self._topics[entry.kind],
            key=entry.key,
            value=entry.value,
            headers=list(entry.headers),
            on_delivery=partial(self._settle, delivery),
        )
        self._in_flight += 1

    def _settle(self, delivery: _Delivery, error: KafkaError | None, message: Message) -> None:
        self._in_flight -= 1
        if error is not None:
            self._break(delivery, error)
        elif not delivery.shard.is_forgotten:
            self.published += 1
            delivery.is_delivered = True
            delivery.place = message.topic() or "", message.partition() or 0
            delivery.offset = message.offset() or 0
            delivery.shard.advance()

    def _break(self, delivery: _Delivery, error: KafkaError) -> None:
        """Take everything back that is on its way; what was confirmed stays confirmed."""
        if self._broken_s is None:
            self._broken_s = time.monotonic()
            self._producer.purge()
            self._note_failure(delivery, error)

    def _note_failure(self, delivery: _Delivery, error: KafkaError) -> None:
        self.failures += 1
        if time.monotonic() - self._logged_s >= _LOG_PAUSE_S:
            self._logged_s = time.monotonic()
            topic = self._topics[delivery.entry.kind]
            _log.warning(
                "event=relay.failed topic=%s entry=%s error=%s", topic, delivery.entry.id, error.name()
            )
