"""From the outbox to Kafka. This file models sinks/relay.py, and how a new owner could resume at the outputs' tails."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.simulation.kafka import Delivery, Outputs, Producer
from tests.simulation.protocol import Protocol, Resume
from tests.simulation.shard import Entry


@dataclass
class _Shard:
    deliveries: deque[Delivery] = field(default_factory=deque)
    delivered_to: tuple[int, int] | None = None

    def settle(self, delivery: Delivery, skips_gaps: bool) -> None:
        """Note a confirmation, and move the mark over what is delivered with all before it."""
        delivery.is_delivered = True
        if skips_gaps:
            self.delivered_to = max(self.delivered_to or delivery.entry.id, delivery.entry.id)
        while self.deliveries and self.deliveries[0].is_delivered:
            self.delivered_to = self.deliveries.popleft().entry.id


class Relay:
    """Deliver entries at least once and each user's in order."""

    def __init__(self, outputs: Outputs, protocol: Protocol, in_flight_max: int) -> None:
        self._outputs, self._protocol, self._in_flight_max = outputs, protocol, in_flight_max
        self._shards: dict[int, _Shard] = {}
        self._waiting: deque[Delivery] = deque()
        self._in_flight = 0
        self._is_broken = False
        self.producer = Producer()
        self.given_up = 0
        """Messages of forgotten shards that were on their way."""

    def publish(self, partition: int, entries: Iterable[Entry]) -> None:
        """Take over entries of a shard in stream order."""
        shard = self._shards.setdefault(partition, _Shard())
        deliveries = [Delivery(partition, entry) for entry in entries]
        shard.deliveries.extend(deliveries)
        self._waiting.extend(deliveries)
        self._pump()

    def resume(self, partition: int, found: Sequence[Entry]) -> None:
        """Publish what a claim found in the outbox, less what the outputs are known to hold."""
        shard = self._shards.setdefault(partition, _Shard())
        for entry in found:
            delivery = Delivery(partition, entry)
            shard.deliveries.append(delivery)
            if self._is_there(partition, entry):
                shard.settle(delivery, skips_gaps=False)
            else:
                self._waiting.append(delivery)
        self._pump()

    def poll(self) -> None:
        """Serve confirmations, begin again after a failure, and hand over what was waiting."""
        while self.producer.reports:
            self._settle(*self.producer.reports.popleft())
        if self._is_broken and self._in_flight == 0:
            self._begin_again()
        self._pump()

    def delivered_to(self, partition: int) -> tuple[int, int] | None:
        """Answer the newest entry that is confirmed with all before it."""
        shard = self._shards.get(partition)
        return shard.delivered_to if shard else None

    def handed_over_to(self, partition: int) -> tuple[int, int] | None:
        """Answer the newest entry that was taken over, delivered or not."""
        shard = self._shards.get(partition)
        return shard.deliveries[-1].entry.id if shard and shard.deliveries else self.delivered_to(partition)

    def forget(self, partition: int) -> None:
        """Drop a shard: its next owner publishes what is left in the outbox."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            for delivery in shard.deliveries:
                delivery.is_forgotten = True
            self.given_up += self.in_flight(partition)

    def in_flight(self, partition: int | None = None) -> int:
        """Count what is on its way, of one shard or of all."""
        lanes = self.producer.lanes.values()
        return sum(partition in (None, delivery.shard) for lane in lanes for delivery in lane)

    def _is_there(self, partition: int, entry: Entry) -> bool:
        resume = self._protocol.resume
        if resume is Resume.ALL:
            return False
        own = self._outputs.partitions[self._outputs.partition_of(entry.user)]
        if resume is Resume.OWN_TAIL:
            return any(landed.entry.name == entry.name for landed in own)
        tails = [own] if resume is Resume.OWN_TAIL_NUMBER else self._outputs.partitions
        return any(
            landed.shard == partition and landed.entry.id >= entry.id for one in tails for landed in one
        )

    def _pump(self) -> None:
        if self._is_broken or self.producer.is_stopped:
            return
        while self._waiting and self._in_flight < self._in_flight_max:
            delivery = self._waiting.popleft()
            if not delivery.is_forgotten:
                self.producer.send(self._outputs.partition_of(delivery.entry.user), delivery)
                self._in_flight += 1

    def _settle(self, delivery: Delivery, is_there: bool) -> None:
        self._in_flight -= 1
        if not is_there:
            self._is_broken = True
            self.producer.purge()
        elif not delivery.is_forgotten:
            skips_gaps = not self._protocol.delivered_means_all_before_too
            self._shards[delivery.shard].settle(delivery, skips_gaps)

    def _begin_again(self) -> None:
        self.producer, self._is_broken = Producer(), False
        self._waiting = deque(
            delivery
            for shard in self._shards.values()
            for delivery in shard.deliveries
            if not delivery.is_delivered
        )
