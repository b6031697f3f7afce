"""This file reads what the group gave us: past confluent-kafka's message objects where that works, else with them."""

from collections.abc import Sequence
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from flows.direct.queue import DirectQueue
from flows.items import AtEnd, RawBatch
from flows.log import log
from flows.messages import split
from sinks.librdkafka import DirectAccessRefused

BATCH_MESSAGES = 20_000


class Intake(Protocol):
    """Read the messages of a consumer, whose callbacks run meanwhile."""

    def forward(self, partitions: Sequence[TopicPartition]) -> None:
        """Get ready for partitions that are about to be assigned."""

    def read(self, timeout_s: float, *, is_assigned: bool) -> list[RawBatch | AtEnd]:
        """
        Wait for messages; answer one batch per topic partition in offset order, and which partitions ended.

        Args:
            is_assigned: without shards there is nothing to read but the news of the group.

        Raises:
            OffsetOutOfRange, GroupRefused, KafkaException: reading cannot go on.
        """

    def close(self) -> None:
        """Let go of the consumer, which is about to be closed."""


class MessageIntake:
    """Read confluent-kafka's message objects; each costs more than the message of a DirectIntake, see benchmarks."""

    def __init__(self, consumer: Consumer, topics: Sequence[str]) -> None:
        self._consumer = consumer
        self._topics = {topic: index for index, topic in enumerate(topics)}

    def forward(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing to be done: everything comes from the consumer."""

    def read(self, timeout_s: float, *, is_assigned: bool) -> list[RawBatch | AtEnd]:
        """As Intake says. Messages of the call that brings the first shards would be dropped, so it reads one."""
        return split(self._consumer.consume(BATCH_MESSAGES if is_assigned else 1, timeout_s), self._topics)

    def close(self) -> None:
        """Nothing is held."""


class DirectIntake:
    """Read librdkafka's own messages, and the consumer only for what the group has to say."""

    def __init__(self, consumer: Consumer, topics: Sequence[str], value_bytes_max: int) -> None:
        self._news = MessageIntake(consumer, topics)
        self._queue = DirectQueue(consumer, topics, BATCH_MESSAGES, value_bytes_max)
        self.forward = self._queue.forward
        self.close = self._queue.close

    def read(self, timeout_s: float, *, is_assigned: bool) -> list[RawBatch | AtEnd]:
        """As Intake says."""
        if not is_assigned:
            return self._news.read(timeout_s, is_assigned=False)
        return [*self._news.read(0, is_assigned=True), *self._queue.read(timeout_s)]


def open_intake(consumer: Consumer, topics: Sequence[str], value_bytes_max: int, *, direct: bool) -> Intake:
    """Answer the direct intake if it is wanted and works here; else say why not, and read message objects."""
    if direct:
        try:
            return DirectIntake(consumer, topics, value_bytes_max)
        except DirectAccessRefused as error:
            log("warn", "direct_reading.refused", action="read message objects", error=error)
    return MessageIntake(consumer, topics)
