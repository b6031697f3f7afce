"""This file looks at the topics before the worker joins: present, and of one number of partitions."""

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic

from flows.connection import Admin
from flows.log import log
from flows.patience import patiently

BROKER_WAIT_S = 60.0
REQUEST_TIMEOUT_S = 10.0


class UnfitTopics(Exception):
    """Say which topics cannot be worked with, and what to do."""


def check_topics(
    kafka: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str], wait_s: float = BROKER_WAIT_S
) -> int:
    """
    Answer the number of partitions that all input topics have; make output topics that do not exist.

    A shard is one partition number of every input topic, so unequal numbers would tear users apart.
    """
    admin = Admin(kafka)
    found = partition_counts(admin, wait_s)
    missing = [topic for topic in inputs if topic not in found]
    if missing:
        raise UnfitTopics(
            f"topics.input: {', '.join(missing)} not found at {kafka.get('bootstrap.servers')}; "
            "create each with the same number of partitions, and key its messages by user_id"
        )
    counts = {topic: found[topic] for topic in inputs}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UnfitTopics(
            f"topics.input: all must have the same number of partitions, but {listed}; "
            'run "tierwise rekey --from TOPIC --to NEW_TOPIC" to copy one into the number of the others, keyed by '
            "user_id, and name NEW_TOPIC in its place"
        )
    partitions = next(iter(counts.values()))
    create_topics(admin, [topic for topic in outputs if topic not in found], partitions)
    return partitions


def partition_counts(admin: Admin, wait_s: float = BROKER_WAIT_S) -> dict[str, int]:
    """Answer the number of partitions of every topic; wait for a broker, but not for one that refuses us."""
    metadata: ClusterMetadata = patiently(admin.list_longer, wait_s, why=admin.why)
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if not topic.error}


def create_topics(admin: AdminClient, topics: Sequence[str], partitions: int) -> None:
    """Create topics with the broker's own replication; another worker may be doing the same."""
    if not topics:
        return
    wanted = [NewTopic(topic, num_partitions=partitions, replication_factor=-1) for topic in topics]
    for topic, future in admin.create_topics(wanted).items():
        try:
            future.result(timeout=REQUEST_TIMEOUT_S)
            log("info", "topic.created", topic=topic, partitions=partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnfitTopics(
                    f"{topic}: does not exist, and creating it was refused: {error.args[0].str()}"
                ) from error
