"""Kafka, as far as the protocol sees it: input topics, output partitions, and producers on their way to them."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.protocol import Violation
from tests.simulation.shard import Entry, Message


class Log:
    """The input topics; closed when nothing more will come. `now` is what the clock on the wall shows."""

    def __init__(self, topics: int, partitions: int) -> None:
        self.topics, self.partitions = topics, partitions
        self.is_closed = False
        self.now = 0
        self._messages: dict[tuple[int, int], list[Message]] = {}

    def append(self, topic: int, partition: int, user: str, time: int, kind: str) -> None:
        """Add a message at the end of a partition."""
        messages = self.of(topic, partition)
        messages.append(Message(topic, partition, len(messages), user, time, kind))

    def of(self, topic: int, partition: int) -> list[Message]:
        """Answer all messages of a topic partition."""
        return self._messages.setdefault((topic, partition), [])


class Landed(NamedTuple):
    """A message in an output partition; shard and entry id ride in its headers."""

    shard: int
    entry: Entry


@dataclass
class Delivery:
    """An entry on its way, and whether it is confirmed."""

    shard: int
    entry: Entry
    is_delivered: bool = False
    is_forgotten: bool = False


@dataclass
class Producer:
    """
    One idempotent producer: what it was given lands in each output partition in order.

    lanes: by output partition, not landed yet; reports: deliveries with their outcome, not heard yet.
    is_stopped: a message failed for good, and the producer takes no other one.
    """

    lanes: dict[int, deque[Delivery]] = field(default_factory=dict)
    reports: deque[tuple[Delivery, bool]] = field(default_factory=deque)
    is_stopped: bool = False

    def send(self, output: int, delivery: Delivery) -> None:
        """Take over one message."""
        self.lanes.setdefault(output, deque()).append(delivery)

    def busy(self) -> list[int]:
        """List the output partitions with something on its way."""
        return [output for output, lane in self.lanes.items() if lane]

    def take_back(self, output: int) -> Delivery:
        """Report the next message of an output partition as failed, and answer it."""
        delivery = self.lanes[output].popleft()
        self.reports.append((delivery, False))
        return delivery

    def fail(self, output: int, stops: bool) -> Delivery:
        """Fail the next message of an output partition for good; with `stops` nothing behind it lands."""
        failed = self.take_back(output)
        if stops:
            self.is_stopped = True
            self.purge()
        return failed

    def purge(self) -> None:
        """Take back everything that has not landed."""
        for output in self.busy():
            while self.lanes[output]:
                self.take_back(output)


class Outputs:
    """
    The change topic: a user's messages are in one partition.

    Args:
        durable: name and content of what was ever in an outbox; nothing else may land.
    """

    def __init__(self, count: int, durable: set[tuple[str, tuple[str, ...]]]) -> None:
        self.partitions: list[list[Landed]] = [[] for _ in range(count)]
        self._durable = durable

    def partition_of(self, user: str) -> int:
        """Answer where messages of a user go."""
        return sum(user.encode()) % len(self.partitions)

    def land(self, producer: Producer, output: int) -> None:
        """Let the next message of a producer reach its partition."""
        delivery = producer.lanes[output].popleft()
        if (delivery.entry.name, delivery.entry.content) not in self._durable:
            raise Violation(f"{delivery.entry.name} is published before it is durable")
        self.partitions[output].append(Landed(delivery.shard, delivery.entry))
        producer.reports.append((delivery, True))
