"""What the group has on its way to a worker that is leaving already."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.clock import SystemClock
from flows.membership import Membership, open_consumer
from flows.progress import Progress
from flows.start_offsets import REFUSE
from flows.topic_guard import TopicGuard
from flows.topic_look import TopicLook
from sinks.shard_store import ShardStore
from tests.conftest import Topics
from tests.integration.bench import Bench

DEADLINE_S = 30.0


@pytest.fixture
def shards(one_topic: Bench) -> Iterator[ShardStore]:
    """Open the store of the worker."""
    opened = ShardStore(one_topic.valkey.url, one_topic.prefix, one_topic.inputs)
    yield opened
    opened.close()


def wait_given(admin: AdminClient, group: str) -> None:
    """Return once the group has given its only member something."""
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        described = admin.describe_consumer_groups([group])[group].result(timeout=DEADLINE_S)
        if any(member.assignment and member.assignment.topic_partitions for member in described.members):
            return
        time.sleep(0.05)
    pytest.fail("the group gave nothing")


def test_membership__takes_nothing_while_it_leaves(
    one_topic: Bench, topics: Topics, shards: ShardStore
) -> None:
    """An assignment that arrives while the consumer closes claims no shard, and nothing is got ready to read it."""
    kafka, inputs = one_topic.kafka.client_settings, one_topic.inputs
    clock, taken = SystemClock(), list[TopicPartition]()
    progress = Progress(clock)
    consumer: Consumer = open_consumer({**kafka, "log_level": "0"}, topics.group)
    membership = Membership(
        consumer,
        shards,
        inputs,
        progress,
        forward=taken.extend,
        guard=TopicGuard(TopicLook(kafka, inputs), inputs, REFUSE, progress, clock),
        announce=lambda partitions: None,
        settle=lambda: None,
        hand_over=lambda released: None,
    )
    membership.subscribe()
    wait_given(AdminClient({"bootstrap.servers": one_topic.kafka.bootstrap}), topics.group)
    membership.leave()
    assert taken == []
    assert progress.shards == {}
    assert one_topic.writes() == 0
