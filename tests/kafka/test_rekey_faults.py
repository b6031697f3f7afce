"""Tests of what the transactions of `tierwise rekey` promise, under faults: each message once. On Apache Kafka."""

import os
import random
import signal
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from flows.hop.source import SourceTopic
from flows.hop.target import Copy, TargetTopic, Undone
from flows.stop import StopFlag
from tests.integration.outcome import read_all
from tests.integration.rekey_process import Feed, Hop, copy_under_kills
from tests.integration.test_rekey_processes import (
    test_rekey__goes_on_where_it_was_stopped,
    test_rekey__processes_share_the_partitions,
)
from tests.kafka.broker import ApacheKafka

__all__ = ["test_rekey__goes_on_where_it_was_stopped", "test_rekey__processes_share_the_partitions"]


def test_rekey__killed_anywhere_copies_each_message_once(hop: Hop) -> None:
    """After kill -9 at random moments under load the target has each message once; some copies were rolled back."""
    assert copy_under_kills(hop, kills=6, partitions=3, seed=11) < hop.sent
    hop.assert_each_once()
    assert hop.copies("read_uncommitted").times.total() > hop.sent


def test_rekey__that_was_given_up_commits_nothing(hop: Hop) -> None:
    """A process that was frozen, and its partitions given to another, rolls back what it had in hand: nothing twice."""
    rng = random.Random(3)
    with hop.rekey() as first, hop.rekey() as second, Feed(hop, partitions=3):
        for frozen, other in ((first, second), (second, first)):
            frozen.wait_until(lambda: first.owned() + second.owned() == 3 and 0 < first.owned() < 3)
            time.sleep(rng.random() * 0.3)  # Anywhere within a transaction, or between two.
            os.kill(frozen.child.pid, signal.SIGSTOP)
            other.wait_until(lambda: other.owned() == 3)  # noqa: B023, called at once
            os.kill(frozen.child.pid, signal.SIGCONT)
        frozen.wait_until(lambda: first.owned() + second.owned() == 3 and 0 < first.owned() < 3)
        assert (first.stop(), second.stop()) == (0, 0), first.log + second.log
    hop.run_to_end()
    hop.assert_each_once()


def test_rekey__outlives_its_broker(hop: Hop, kafka: ApacheKafka) -> None:
    """A broker that is killed and comes back, sooner and later than a transaction lasts, costs and repeats nothing."""
    rng = random.Random(5)
    with hop.rekey() as process:
        process.wait_until(lambda: process.owned() == 3)
        for away_s in (0.0, 4.0):
            with Feed(hop, partitions=3):
                time.sleep(1.0 + rng.random())  # Under load, anywhere within a transaction.
                kafka.kill()
                time.sleep(away_s)
                kafka.start()
        process.wait_until(lambda: hop.copies().times.total() >= hop.sent)
        assert process.stop() == 0, process.log
    hop.assert_each_once()


def test_rekey__thrown_out_unheard_commits_nothing(hop: Hop) -> None:
    """A member that the group gave up, and that has not heard of it, cannot commit what it has in hand."""
    hop.send(300, partitions=3)
    kafka = {**hop.kafka.client_settings, "session.timeout.ms": "1000", "max.poll.interval.ms": "1500"}
    target = TargetTopic(kafka, hop.target, hop.prefix, "murmur2_random", 1_000_000, StopFlag())
    source = SourceTopic(kafka, hop.source, hop.prefix, StopFlag(), lambda: None, lambda: None)
    source.join()
    while not (messages := source.read(100, 0.1)):
        pass
    target.add(Copy(messages[0], b"u1", messages[0].value(), None, "keyed_by_user"))
    admin = AdminClient({"bootstrap.servers": hop.kafka.bootstrap})
    give_up_s = time.monotonic() + 30
    while admin.describe_consumer_groups([hop.prefix])[hop.prefix].result(10).members:
        assert time.monotonic() < give_up_s
    with pytest.raises(Undone):
        target.commit([TopicPartition(hop.source, messages[0].partition(), 1)], source.member)
    source.leave()
    assert read_all(hop.kafka, hop.target) == []
