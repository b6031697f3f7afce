"""Tests of `tierwise rekey` on Apache Kafka: what it copies, what it refuses, where it ends."""

import random
from pathlib import Path

from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from flows.dev.embedded import create_topics
from tests.integration.outcome import read_all
from tests.integration.rekey_process import Feed, Hop
from tests.integration.test_rekey import (
    test_rekey__changes_the_key_and_nothing_else,
    test_rekey__copies_a_backlog_by_time,
    test_rekey__does_not_begin_in_the_middle,
    test_rekey__drops_headers_that_nobody_can_read_and_says_so,
    test_rekey__joins_users_with_topics_of_other_producers,
)
from tests.kafka.broker import ApacheKafka

__all__ = [
    "test_rekey__changes_the_key_and_nothing_else",
    "test_rekey__copies_a_backlog_by_time",
    "test_rekey__does_not_begin_in_the_middle",
    "test_rekey__drops_headers_that_nobody_can_read_and_says_so",
    "test_rekey__joins_users_with_topics_of_other_producers",
]


def test_rekey__leaves_out_what_its_producer_rolled_back(hop: Hop) -> None:
    """A message of a transaction that was aborted in the source is not copied."""
    settings = {"bootstrap.servers": hop.kafka.bootstrap, "transactional.id": f"{hop.prefix}.shop"}
    producer = Producer(settings)
    producer.init_transactions(10)
    for user_id, end in (("nobody", producer.abort_transaction), ("u1", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(hop.source, value=f'{{"user_id": "{user_id}"}}')
        producer.flush(10)
        end(10)
    assert hop.run_to_end()["read"] == 1
    assert [one.key() for one in read_all(hop.kafka, hop.target)] == [b"u1"]


def test_rekey__names_the_message_that_the_target_refuses(hop: Hop) -> None:
    """A message too large for the target ends the copy with its place and the way out; a new target takes it."""
    admin = AdminClient({"bootstrap.servers": hop.kafka.bootstrap})
    large = NewTopic(f"{hop.prefix}.large", 3, 1, config={"max.message.bytes": "3000000"})
    admin.create_topics([large])[large.topic].result(10)
    producer = Producer({"bootstrap.servers": hop.kafka.bootstrap, "message.max.bytes": 2_900_000})
    noise = random.Random(1).randbytes(1_000_000).hex()
    producer.produce(large.topic, value=f'{{"user_id": "u1", "x": "{noise}"}}', partition=2)
    assert producer.flush(30) == 0
    hop.source = large.topic
    with hop.rekey("--until-end") as process:
        assert process.wait_end() == 1
        assert f"{large.topic} partition 2 offset 0" in process.log
        assert "raise max.message.bytes of the target" in process.log
    hop.target = f"{hop.prefix}.wide"
    assert hop.run_to_end("--partitions", "4")["read"] == 1


def test_rekey__makes_a_target_that_holds_as_much(kafka: ApacheKafka, prefix: str, tmp_path: Path) -> None:
    """A target that it makes keeps messages as long as the source, but never compacts; one that does is refused."""
    hop = Hop(kafka, prefix, tmp_path)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    config = {"cleanup.policy": "compact", "max.message.bytes": "3000", "retention.ms": "3600000"}
    admin.create_topics([NewTopic(hop.source, 3, 1, config=config)])[hop.source].result(10)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "batch.size": 2_000})
    for number in range(2_000):
        producer.produce(hop.source, key=b"k%d" % number, value=b'{"user_id": "u1"}')
    assert producer.flush(30) == 0
    assert hop.run_to_end()["read"] == 2_000
    resource = ConfigResource(ConfigResource.Type.TOPIC, hop.target)
    found = admin.describe_configs([resource])[resource].result(10)
    kept = {name: found[name].value for name in ("cleanup.policy", "retention.ms", "max.message.bytes")}
    assert kept == {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "3000"}
    hop.target = hop.source
    hop.source = f"{prefix}.keyed"
    with hop.rekey() as process:
        assert process.wait_end() == 2
        assert "is compacted" in process.log


def test_rekey__does_not_skip_what_was_deleted(hop: Hop) -> None:
    """Messages deleted before they were copied end it with a clear line, exit code 1."""
    hop.send(300, partitions=3)
    hop.run_to_end()
    hop.send(300, partitions=3)
    admin = AdminClient({"bootstrap.servers": hop.kafka.bootstrap})
    (delete,) = admin.delete_records([TopicPartition(hop.source, 0, OFFSET_END)]).values()
    delete.result(10)
    with hop.rekey("--until-end") as process:
        assert process.wait_end() == 1
        assert "messages were deleted before they were copied" in process.log


def test_rekey__ends_at_the_present_end_under_load(hop: Hop) -> None:
    """With --until-end it ends although messages keep coming, with all that were there when it began."""
    hop.source = f"{hop.prefix}.busy"
    create_topics(hop.kafka.bootstrap, [hop.source], 1)
    hop.send(2_000, partitions=1)
    hop.write(fetch__wait__max__ms="10000")  # No end is reported while a message comes within that time.
    with Feed(hop, partitions=1, batch=10):
        assert hop.run_to_end()["read"] >= 2_000
