"""Tests of input that senders write in Kafka transactions: what was aborted never happened."""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import Message as Delivered

from flows.dev.generator import Message
from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess
from tests.topic_admin import delete_records

SHOP = story(events=900, users=90, seed=33)
DEADLINE_S = 20.0


class Transactions:
    """A transactional sender; it remembers where what was committed stands."""

    def __init__(self, bench: Bench) -> None:
        self._topic = bench.topics.clickstream
        self._partitions = bench.topics.partitions
        settings = {
            "bootstrap.servers": bench.kafka.bootstrap,
            "transactional.id": self._topic,
            "log_level": 0,
        }
        self._producer = Producer(settings)
        self._producer.init_transactions(DEADLINE_S)
        self.sent: dict[int, list[list[tuple[int, bytes, int]]]] = defaultdict(lambda: [[]])

    @contextmanager
    def sending(self, messages: list[Message], *, aborted: bool = False) -> Iterator[None]:
        """Send in one transaction, which is open inside the `with` and ends with it."""
        places: list[tuple[int, tuple[int, bytes, int]]] = []

        def delivered(error: object, message: Delivered) -> None:
            assert error is None, error
            row = message.offset(), message.value(), message.timestamp()[1]
            places.append((message.partition(), row))

        self._producer.begin_transaction()
        for one in messages:
            partition = zlib.crc32(one.key) % self._partitions
            self._producer.produce(
                self._topic, one.value, one.key, partition, delivered, timestamp=one.ingest_time_ms
            )
        assert self._producer.flush(DEADLINE_S) == 0
        yield
        if aborted:
            self._producer.abort_transaction(DEADLINE_S)
            return
        self._producer.commit_transaction(DEADLINE_S)
        for partition, row in places:
            self.sent[partition][0].append(row)


def ends(bench: Bench) -> dict[int, int]:
    """Answer where each partition ends for those who read what is committed."""
    settings = {"bootstrap.servers": bench.kafka.bootstrap, "group.id": "ends", "log_level": 0}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    try:
        places = {number: TopicPartition(bench.topics.clickstream, number) for number in range(4)}
        return {number: consumer.get_watermark_offsets(place)[1] for number, place in places.items()}
    finally:
        consumer.close()


def score(bench: Bench) -> None:
    """Have a worker score all that is committed, and stop it."""
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), sum(ends(bench).values()))
        assert worker.stop() == 0


def test_worker__scores_what_is_committed(one_topic: Bench, policy: Policy) -> None:
    """Aborted messages are never scored, open ones not yet; everything else is as specified."""
    sender = Transactions(one_topic)
    with WorkerProcess(one_topic.settings) as worker:
        with sender.sending(SHOP[:300]):
            pass
        with sender.sending(SHOP[300:600], aborted=True):
            pass
        with sender.sending(SHOP[600:]):
            up_to = sum(ends(one_topic).values())
            worker.wait_until(lambda: one_topic.written() == up_to)
            users = {message.key.decode() for message in SHOP[:300]}
            assert one_topic.observed().profiles.keys() <= users
        one_topic.wait_done(worker, sum(ends(one_topic).values()))
        worker.wait_until(lambda: worker.metric("lag_messages") == 0)
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, SimpleNamespace(sent=sender.sent)))  # type: ignore[arg-type]


def test_worker__knows_that_nothing_was_missed_behind_the_last_message(
    one_topic: Bench, policy: Policy
) -> None:
    """When retention deletes marks and aborted messages behind the last event, that is no gap."""
    sender = Transactions(one_topic)
    with sender.sending(SHOP[:300]):
        pass
    score(one_topic)
    with sender.sending(SHOP[300:600], aborted=True):
        pass
    score(one_topic)
    delete_records(one_topic.kafka.bootstrap, one_topic.topics.clickstream, ends(one_topic))
    with sender.sending(SHOP[600:]):
        pass
    score(one_topic)
    assert_same(one_topic.observed(), expected(policy, SimpleNamespace(sent=sender.sent)))  # type: ignore[arg-type]
