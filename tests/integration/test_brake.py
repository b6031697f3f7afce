"""Tests of how reading is held back, on a real broker."""

import re
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.clock import SystemClock
from flows.dev.embedded import KafkaServer
from flows.measure import Measure
from flows.membership import open_consumer
from flows.progress import Progress
from flows.source import UNPUBLISHED_MAX, WAITING_MAX, Brake
from scoring.policy import Policy
from tests.conftest import Topics

DEADLINE_S = 10.0


def offset_read(consumer: Consumer) -> int:
    """Answer the offset of the next message that is read."""
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        for message in consumer.consume(1, 0.2):
            if message.error() is None:
                return int(message.offset())
    pytest.fail("nothing was read")


@pytest.fixture
def reading(kafka: KafkaServer, topics: Topics) -> Iterator[tuple[Consumer, Progress, Brake]]:
    """Read the first of a hundred orders, with the brake over them."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for _ in range(100):
        producer.produce(topics.orders, b"x", partition=0)
    assert producer.flush(30) == 0
    progress = Progress(SystemClock())
    progress.claimed(0, offsets=[None])
    consumer = open_consumer({**kafka.client_settings, "log_level": "0"}, topics.group)
    try:
        consumer.assign([TopicPartition(topics.orders, 0, 0)])
        assert offset_read(consumer) == 0
        yield consumer, progress, Brake(consumer, progress, [topics.orders])
    finally:
        consumer.close()


def test_brake__lets_go_of_what_a_rebalance_gives_back(
    reading: tuple[Consumer, Progress, Brake], topics: Topics
) -> None:
    """A topic partition that was held back before a rebalance is read again after it."""
    consumer, progress, brake = reading
    progress.shards[0].waiting = [WAITING_MAX + 1]
    brake.steer()
    consumer.unassign()
    progress.released(0)
    brake.release()
    brake.steer()  # Nothing is ours meanwhile, and nothing is held: librdkafka still knows of its pause.
    consumer.assign([TopicPartition(topics.orders, 0, 7)])
    progress.claimed(0, offsets=[7])
    brake.release()
    brake.steer()
    assert offset_read(consumer) == 7


def test_brake__reads_nothing_of_what_is_stopped(
    reading: tuple[Consumer, Progress, Brake], topics: Topics
) -> None:
    """A topic partition that was stopped for its dead letters is paused, and read when that is over."""
    consumer, progress, brake = reading
    progress.stopped[0, 0] = 1
    brake.steer()
    assert consumer.consume(10, 1.0) == []
    progress.claimed(0, offsets=[50])
    consumer.seek(TopicPartition(topics.orders, 0, 50))
    brake.steer()
    assert offset_read(consumer) == 50


def test_brake__says_when_the_outbox_is_full(
    reading: tuple[Consumer, Progress, Brake], policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reading stops at the limit and goes on at half of it; each is one line, and a gauge shows which."""
    consumer, progress, brake = reading
    measure = Measure(policy, "t", progress, SystemClock())

    def steered(pending: int) -> tuple[list[str], float | None]:
        progress.shards[0].pending = pending
        brake.steer()
        measure.published(0, 0)
        logged = re.findall(r"event=(\S+)", capsys.readouterr().err)
        return logged, measure.registry.get_sample_value("t_outbox_full")

    assert steered(UNPUBLISHED_MAX) == ([], 0)
    assert steered(UNPUBLISHED_MAX + 1) == (["outbox.filled"], 1)
    assert consumer.consume(10, 1.0) == []
    assert steered(UNPUBLISHED_MAX // 2 + 1) == ([], 1)
    assert steered(UNPUBLISHED_MAX // 2) == (["outbox.drained"], 0)
    assert offset_read(consumer) == 1
