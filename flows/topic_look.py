"""What Kafka says of the input topics while we read them. This file asks; it judges nothing."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from flows.patience import UNKNOWN
from flows.topics import REQUEST_TIMEOUT_S

NO_ID = "A" * 22
"""How the zero id reads, which a broker gives that has no ids."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """
    Say what must stay as it is while offsets of a topic are kept.

    Attributes:
        partitions: how many it has.
        topic_id: another one when it was deleted and made anew; None from a broker that gives no ids.
    """

    partitions: int
    topic_id: str | None


Facts = Mapping[str, TopicFacts]
"""By topic; one that does not exist is absent."""


class TopicLook:
    """Ask about the input topics, over a connection of its own."""

    def __init__(self, kafka: Mapping[str, str], topics: Sequence[str]) -> None:
        self._admin = AdminClient({**kafka, "log_level": 0})
        self._topics = tuple(topics)

    def ask(self) -> "Answer":
        """Ask for the facts of all topics, without waiting."""
        wanted = TopicCollection(list(self._topics))
        return Answer(self._admin.describe_topics(wanted, request_timeout=REQUEST_TIMEOUT_S))

    def first_offsets(self, partitions: Iterable[int]) -> dict[tuple[str, int], int]:
        """Answer the first offset that Kafka still holds of each topic partition, by (topic, partition)."""
        wanted = {
            TopicPartition(topic, partition): OffsetSpec.earliest()
            for partition in partitions
            for topic in self._topics
        }
        if not wanted:
            return {}
        answers = self._admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_TIMEOUT_S
        )
        return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}


class Answer:
    """An answer about all topics that is on its way."""

    def __init__(self, futures: Mapping[str, "Future[Any]"]) -> None:
        self._futures = futures

    def is_there(self) -> bool:
        """Tell whether taking it would not wait."""
        return all(future.done() for future in self._futures.values())

    def take(self) -> Facts:
        """Wait for it and answer it; KafkaException when the broker could not be asked."""
        facts = {}
        for topic, future in self._futures.items():
            try:
                found = future.result()
            except KafkaException as error:
                if error.args[0].code() not in UNKNOWN:
                    raise
                continue
            topic_id = str(found.topic_id)
            facts[topic] = TopicFacts(len(found.partitions), None if topic_id == NO_ID else topic_id)
        return facts
