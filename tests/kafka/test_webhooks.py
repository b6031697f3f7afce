"""Tests of `tierwise webhooks` on Apache Kafka: what is noted beside an offset, and what the broker has deleted."""

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Topics
from tests.integration.test_webhook_restarts import (
    test_webhooks__goes_on_where_it_was_stopped,
    test_webhooks__killed_anywhere_loses_nothing,
    test_webhooks__processes_share_the_partitions,
)
from tests.integration.test_webhooks import (
    test_webhooks__410_disables_and_resend_brings_all,
    test_webhooks__each_wanted_change_arrives_once_signed_and_in_order,
)
from tests.integration.webhook_site import Call, Hooks, Receiver, Reply
from tests.kafka.broker import ApacheKafka
from tests.topic_admin import delete_records

__all__ = [
    "test_webhooks__410_disables_and_resend_brings_all",
    "test_webhooks__each_wanted_change_arrives_once_signed_and_in_order",
    "test_webhooks__goes_on_where_it_was_stopped",
    "test_webhooks__killed_anywhere_loses_nothing",
    "test_webhooks__processes_share_the_partitions",
]

USERS = [f"u{number}" for number in range(40)]


@pytest.fixture
def hooks(kafka: ApacheKafka, topics: Topics, prefix: str, tmp_path: Path) -> Hooks:
    """Prepare a change topic."""
    return Hooks(kafka, topics, prefix, tmp_path)


def test_webhooks__a_restart_repeats_nothing_behind_one_that_waits(hooks: Hooks) -> None:
    """What was delivered behind a change that waits for its next attempt is noted, and so is how far its plan is."""

    def reply(call: Call) -> Reply:
        return (500 if call.id.startswith("bad") else 200), {}

    bad = [f"bad{number}" for number in range(8)]
    hooks.publish(*bad)
    with Receiver(reply) as receiver:
        hooks.write({"one": receiver.settings()}, retry_plan=["0s", "1h"])
        for _ in range(3):
            hooks.publish(*USERS)
            with hooks.run() as process:
                process.wait_until(lambda: set(receiver.ids) >= set(hooks.sent))
                process.wait_until(lambda: process.metric("pending") == len(bad))
                assert process.stop() == 0, process.log
    assert Counter(receiver.ids) == Counter(hooks.sent.keys())
    assert hooks.parked_ids() == []


def test_webhooks__what_kafka_deleted_is_told(hooks: Hooks) -> None:
    """A group whose messages are gone goes on with the first that is left, and says how many it lost."""
    first = hooks.publish(*USERS)
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings()})
        with hooks.run() as process:
            process.wait_until(lambda: set(receiver.ids) >= set(first))
            process.wait_until(lambda: process.metric("pending") == 0)
            assert process.stop() == 0, process.log
        hooks.publish(*USERS)
        ends = Counter(message.partition() for message in hooks.changes())
        delete_records(hooks.kafka.bootstrap, hooks.topics.changes, ends)
        left = hooks.publish(*USERS)
        with hooks.run() as process:
            process.wait_until(lambda: set(receiver.ids) >= set(left))
            assert process.metric("lost_total") == len(USERS)
            assert process.stop() == 0, process.log
        assert process.log.count("event=changes.lost") >= 1
    assert sorted(receiver.ids) == sorted(first + left)


def test_webhooks__a_new_endpoint_gets_nothing_of_before(hooks: Hooks) -> None:
    """With `start: latest` it begins exactly at the end."""
    hooks.publish(*USERS)
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings(start="latest")})
        with hooks.run() as process:
            process.wait_until(lambda: "event=partitions.assigned" in process.log)
            process.kill()
        ids = hooks.publish(*USERS)
        with hooks.run() as process:
            process.wait_until(lambda: len(receiver.calls) >= len(ids))
            assert process.stop() == 0, process.log
    assert sorted(receiver.ids) == sorted(ids)
