"""What an operator, or time, does to topics. This file does it to those of a test."""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from flows.dev.embedded import create_topics

DEADLINE_S = 20.0


def delete_records(bootstrap: str, topic: str, before: Mapping[int, int]) -> None:
    """Delete what stands before the given offset of each partition, as retention does in time."""
    admin = _admin(bootstrap)
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
    for future in admin.delete_records(wanted).values():
        future.result(DEADLINE_S)


def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic."""
    admin = _admin(bootstrap)
    for future in admin.delete_topics([topic]).values():
        future.result(DEADLINE_S)


def make_anew(bootstrap: str, topic: str, partitions: int) -> None:
    """Delete a topic and create one of the same name as soon as Kafka lets us."""
    delete_topic(bootstrap, topic)
    give_up_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return create_topics(bootstrap, [topic], partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > give_up_s:
                raise
            time.sleep(0.05)


def grow(bootstrap: str, topic: str, partitions: int) -> None:
    """Give a topic more partitions."""
    admin = _admin(bootstrap)
    for future in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        future.result(DEADLINE_S)


def configure(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change settings of a topic."""
    admin = _admin(bootstrap)
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(DEADLINE_S)


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
