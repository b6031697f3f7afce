"""This file publishes outbox entries to Kafka, each user's in order, until the broker has confirmed them."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.outbox import OutboxEntry

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
    # Never give up on an entry while the broker is away: what is durable is published in the end.
    "delivery.timeout.ms": 0,
}
_log = logging.getLogger("tierwise.relay")


class _Shard:
    """The entries of one shard that are not known to be delivered with all before them."""

    def __init__(self) -> None:
        self.deliveries: deque[_Delivery] = deque()
        self.lanes: dict[bytes, deque[_Delivery]] = {}
        self.delivered_to: str | None = None
        self.is_forgotten = False

    def advance(self) -> None:
        """Move the contiguous mark over what is delivered."""
        while self.deliveries and self.deliveries[0].is_delivered:
            self.delivered_to = self.deliveries.popleft().entry.id


class _Delivery:
    __slots__ = ("entry", "is_delivered", "shard")

    def __init__(self, shard: _Shard, entry: OutboxEntry) -> None:
        self.shard = shard
        self.entry = entry
        self.is_delivered = False


class Relay:
    """
    Deliver entries at least once and each user's in order; not thread-safe.

    A user has one entry on the way at a time, the next follows its confirmation. So an entry that fails and
    is produced again can never arrive behind a later one of its user, and it holds up nobody else.

    Args:
        kafka: librdkafka settings; those the promises rest on are overridden.
        in_flight_max: entries handed to the producer and not confirmed; more wait here.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        changes_topic: str,
        dead_letters_topic: str,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._config = {**_DEFAULTS, **kafka, **_PROMISES}
        self._topics = {"change": changes_topic, "dead_letter": dead_letters_topic}
        self._in_flight_max = in_flight_max
        self._producer = self._new_producer()
        self._is_broken = False
        self._shards: dict[int, _Shard] = {}
        self._ready: deque[_Delivery] = deque()
        self._failed: deque[tuple[float, _Delivery]] = deque()
        self._in_flight = 0
        self._logged_s = float("-inf")
        self.failures = 0
        self.published = 0

    def publish(self, partition: int, entries: Iterable[OutboxEntry]) -> None:
        """Take over entries of a shard in stream order; they must be durable. Never blocks."""
        shard = self._shards.setdefault(partition, _Shard())
        for entry in entries:
            delivery = _Delivery(shard, entry)
            shard.deliveries.append(delivery)
            if entry.key is None:
                self._ready.append(delivery)
            elif entry.key in shard.lanes:
                shard.lanes[entry.key].append(delivery)
            else:
                shard.lanes[entry.key] = deque()
                self._ready.append(delivery)
        self._pump()

    def poll(self) -> None:
        """Serve confirmations, produce again what failed, and hand over what was waiting."""
        self._producer.poll(0)
        if self._is_broken and self._in_flight == 0:
            self._producer, self._is_broken = self._new_producer(), False
        now_s = time.monotonic()
        while self._failed and self._failed[0][0] <= now_s:
            self._ready.append(self._failed.popleft()[1])
        self._pump()

    def delivered_to(self, partition: int) -> str | None:
        """Answer the newest entry that is confirmed with all before it; None before the first."""
        shard = self._shards.get(partition)
        return None if shard is None else shard.delivered_to

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
            shard.lanes.clear()

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
        """Drop what the producer still holds; it is in the outbox."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _new_producer(self) -> Producer:
        return Producer(self._config, logger=_log)

    def _pump(self) -> None:
        while self._ready and self._in_flight < self._in_flight_max and not self._is_broken:
            delivery = self._ready[0]
            if not delivery.shard.is_forgotten:
                try:
                    self._produce(delivery)
                except BufferError:  # The producer's own bound; confirmations make room.
                    self._producer.poll(0)
                    return
                except KafkaException as error:
                    self._fail(delivery, error.args[0])
            self._ready.popleft()

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

    def _settle(self, delivery: _Delivery, error: KafkaError | None, _: Message) -> None:
        self._in_flight -= 1
        if error is not None:
            self._fail(delivery, error)
        elif not delivery.shard.is_forgotten:
            self.published += 1
            delivery.is_delivered = True
            delivery.shard.advance()
            self._follow(delivery)

    def _follow(self, delivery: _Delivery) -> None:
        """Let the user's next entry go."""
        lanes, key = delivery.shard.lanes, delivery.entry.key
        if key is None:
            return
        if lanes[key]:
            self._ready.append(lanes[key].popleft())
        else:
            del lanes[key]

    def _fail(self, delivery: _Delivery, error: KafkaError) -> None:
        is_fatal = error.fatal() or error.code() == KafkaError._FATAL
        if is_fatal and not self._is_broken:
            self._is_broken = True
            self._producer.purge()
        if delivery.shard.is_forgotten:
            return
        self.failures += 1
        now_s = time.monotonic()
        self._failed.append((now_s + _RETRY_PAUSE_S, delivery))
        if now_s - self._logged_s >= _LOG_PAUSE_S:
            self._logged_s = now_s
            topic = self._topics[delivery.entry.kind]
            _log.warning(
                "event=relay.failed topic=%s entry=%s error=%s", topic, delivery.entry.id, error.name()
            )
