"""Tests of workers that share partitions through a real consumer group."""

import time

from confluent_kafka import Consumer

from scoring.policy import Policy
from tests.integration.bench import Bench, Load
from tests.integration.outcome import story
from tests.integration.test_worker import test_worker__shares_partitions_and_takes_over
from tests.integration.worker_process import QUICK_GROUP, WorkerProcess

__all__ = ["test_worker__shares_partitions_and_takes_over"]


def test_worker__hands_shards_over_while_they_are_its_own(
    one_topic: Bench, policy: Policy, load: Load
) -> None:
    """When a worker joins under load, and when it leaves, nothing is fenced, scored or published twice."""
    shop = story(events=4_000, users=300, seed=37)
    load.start(shop[:3_000], seconds=8)
    with WorkerProcess(one_topic.settings, "first") as first:
        first.wait_until(lambda: first.owned() == 4)
        with WorkerProcess(one_topic.settings, "second") as second:
            second.wait_until(lambda: (first.owned(), second.owned()) == (2, 2))
            one_topic.wait_done(second, load.finish())
            consumed = second.metric("messages_consumed_total")
            assert second.stop() == 0
            assert "event=store.fenced" not in second.log
        first.wait_until(lambda: first.owned() == 4)
        one_topic.wait_done(first, load.count + one_topic.sender.send(shop[3_000:]))
        assert first.metric("messages_consumed_total") + consumed == len(shop)
        assert "event=store.fenced" not in first.log
        assert first.stop() == 0
    one_topic.assert_each_once(policy)


def test_worker__ends_when_the_broker_refuses_its_session_timeout(one_topic: Bench) -> None:
    """A session timeout outside of what the broker allows ends the worker, which names the setting."""
    short = {**one_topic.kafka.client_settings, **QUICK_GROUP, "session.timeout.ms": "500"}
    with WorkerProcess(one_topic.write(kafka=short)) as worker:
        assert worker.wait_end() == 1
        assert "Invalid session timeout: set kafka.session.timeout.ms between" in worker.log


def test_worker__ends_in_a_group_of_others(one_topic: Bench) -> None:
    """A group whose members share partitions in another way ends the worker, which says so."""
    settings = {**one_topic.kafka.client_settings, "group.id": one_topic.topics.group, "log_level": 0}
    other = Consumer({**settings, "partition.assignment.strategy": "roundrobin"})
    other.subscribe([one_topic.topics.clickstream])
    deadline_s = time.monotonic() + 20
    while not other.assignment():
        assert time.monotonic() < deadline_s
        other.poll(0.1)
    with WorkerProcess(one_topic.settings) as worker:
        assert worker.wait_end() == 1
        assert "set another group" in worker.log
    other.close()
