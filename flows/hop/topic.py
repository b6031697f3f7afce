"""The topic that a hop writes to. This file makes it, looks at its settings, and how far a group has come."""

import time

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from flows.connection import Admin
from flows.log import log
from flows.topics import REQUEST_TIMEOUT_S, UnfitTopics, partition_counts

PAUSE_S = 0.1
BYTES_MAX_DEFAULT = 1_048_588


def create_target(admin: Admin, topic: str, partitions: int, config: dict[str, str]) -> None:
    """Create the target with the broker's own replication; another process may be doing the same."""
    wanted = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=config)
    try:
        admin.create_topics([wanted])[topic].result(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return
        raise UnfitTopics(
            f"--to: {topic} does not exist, and creating it was refused: {error.args[0].str()}"
        ) from error
    fields = {name.replace(".", "_"): value for name, value in config.items()}
    log("info", "topic.created", topic=topic, partitions=partitions, **fields)


def counts_with(admin: Admin, topic: str) -> dict[str, int]:
    """Wait until the broker shows a topic that was created."""
    give_up_s = time.monotonic() + REQUEST_TIMEOUT_S
    while topic not in (counts := partition_counts(admin)):
        if time.monotonic() > give_up_s:
            raise UnfitTopics(f"--to: {topic} was created, but the broker does not show it; start again")
        time.sleep(PAUSE_S)
    return counts


def bytes_max(config: dict[str, str]) -> int:
    """Answer how large a batch a topic with these settings takes."""
    return int(config.get("max.message.bytes", BYTES_MAX_DEFAULT))


def config_of(admin: AdminClient, topic: str) -> dict[str, str]:
    """Read a topic's settings; none where the broker does not tell them to us."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource])[resource].result(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        log("warn", "topic.undescribed", topic=topic, error=error.args[0].str())
        return {}
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}


def offsets_of(admin: AdminClient, group: str) -> list[TopicPartition]:
    """Read what a group has committed; nothing where the broker does not tell us."""
    give_up_s = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        try:
            asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            return list(asked[group].result(timeout=REQUEST_TIMEOUT_S).topic_partitions)
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > give_up_s:
                log("warn", "group.undescribed", group=group, error=error.args[0].str())
                return []
            time.sleep(PAUSE_S)
