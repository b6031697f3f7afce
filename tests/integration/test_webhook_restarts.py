"""Tests of `tierwise webhooks` that is stopped, killed, shared and started anew: nothing is lost."""

import random
import time
import zlib
from collections import Counter
from pathlib import Path

import pytest

from flows.dev.embedded import KafkaServer
from tests.conftest import PARTITIONS, Topics
from tests.integration.bench import Bench
from tests.integration.outcome import read_all, story
from tests.integration.webhook_site import Call, Hooks, Receiver, Reply, in_order
from tests.integration.worker_process import WorkerProcess

USERS = [f"u{number}" for number in range(40)]
ONE_EACH = list({zlib.crc32(user_id.encode()) % PARTITIONS: user_id for user_id in USERS}.values())
"""
A user of each partition. A user's changes are settled in order, so an offset says it all: the embedded broker
does not keep what is noted beside it, and all behind the oldest open change would come again.
"""


@pytest.fixture
def hooks(kafka: KafkaServer, topics: Topics, prefix: str, tmp_path: Path) -> Hooks:
    """Prepare a change topic."""
    return Hooks(kafka, topics, prefix, tmp_path)


def test_webhooks__goes_on_where_it_was_stopped(hooks: Hooks) -> None:
    """SIGTERM finishes what is on its way, exit code 0; the next process sends the rest and nothing again."""

    def reply(_: Call) -> Reply:
        time.sleep(0.02)  # So that something is on its way at any moment.
        return 200, {}

    ids = hooks.publish(*ONE_EACH * 100)
    with Receiver(reply) as receiver:
        hooks.write({"one": receiver.settings(rate=100)})
        with hooks.run() as process:
            process.wait_until(lambda: len(receiver.calls) > 20)
            assert process.stop() == 0, process.log
        first = len(receiver.calls)
        assert first < len(ids)
        hooks.write({"one": receiver.settings()})
        with hooks.run() as process:
            process.wait_until(lambda: len(receiver.calls) >= len(ids))
            ids += hooks.publish(*ONE_EACH * 10)
            process.wait_until(lambda: len(receiver.calls) >= len(ids))
            assert process.stop() == 0, process.log
    assert Counter(receiver.ids) == Counter(ids)
    assert in_order(receiver.ids)


def test_webhooks__killed_anywhere_loses_nothing(hooks: Hooks) -> None:
    """After kill -9 at random moments each change has arrived; one that came twice was the same."""
    rng = random.Random(7)

    def reply(_: Call) -> Reply:
        return (503 if rng.random() < 0.2 else 200), {}

    with Receiver(reply) as receiver:
        hooks.write({"one": receiver.settings(rate=150)}, retry_plan=["0s", *["20ms"] * 30])
        ids = hooks.publish(*USERS * 10)
        for _ in range(3):
            with hooks.run() as process:
                process.wait_until(lambda: process.metric("delivered_total") > 0)
                time.sleep(rng.random())  # Anywhere in its work.
                process.kill()
        with hooks.run() as process:
            process.wait_until(lambda: set(receiver.ids) >= set(ids))
            process.wait_until(lambda: process.metric("pending") == 0)
            assert process.stop() == 0, process.log
    bodies: dict[str, set[bytes]] = {}
    for call in receiver.calls:
        bodies.setdefault(call.id, set()).add(call.body)
    assert bodies.keys() == set(ids)
    assert all(len(found) == 1 for found in bodies.values())


def test_webhooks__processes_share_the_partitions(hooks: Hooks) -> None:
    """A second process takes partitions over and gives them back: all arrive."""
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings(rate=100)})
        ids = hooks.publish(*USERS * 5)
        with hooks.run() as first:
            first.wait_until(lambda: len(receiver.calls) > 10)
            with hooks.run() as second:
                second.wait_until(lambda: "event=partitions.assigned" in second.log)
                ids += hooks.publish(*USERS)
                second.wait_until(lambda: second.metric("delivered_total") > 0)
                assert second.stop() == 0, second.log
            ids += hooks.publish(*USERS)
            first.wait_until(lambda: set(receiver.ids) >= set(ids))
            assert first.stop() == 0, first.log
    assert set(receiver.ids) == set(ids)


def test_webhooks__a_new_endpoint_begins_with_what_comes(hooks: Hooks) -> None:
    """With `start: latest` it gets nothing of before, and loses nothing of what comes while it is killed."""
    old = hooks.publish(*USERS)
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings(start="latest")})
        with hooks.run() as process:
            process.wait_until(lambda: "event=partitions.assigned" in process.log)
            process.kill()
        ids = hooks.publish(*USERS)
        with hooks.run() as process:
            process.wait_until(lambda: set(receiver.ids) >= set(ids))
            assert process.stop() == 0, process.log
    # The embedded broker may say that a topic ends some messages before its end.
    assert len(set(receiver.ids) & set(old)) < len(old)


def test_webhooks__delivers_what_a_worker_publishes(one_topic: Bench, hooks: Hooks) -> None:
    """Every change of a real worker arrives once, as the topic has it."""
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings()})
        count = one_topic.sender.send(story(events=400, users=50, seed=32))
        with WorkerProcess(one_topic.settings) as worker, hooks.run() as process:
            one_topic.wait_done(worker.wait_ready(), count)
            published = read_all(hooks.kafka, hooks.topics.changes)
            process.wait_until(lambda: len(receiver.calls) >= len(published) > 0)
            assert process.stop() == 0, process.log
            assert worker.stop() == 0
    ids = [dict(message.headers())["ce_id"].decode() for message in published]
    assert sorted(receiver.ids) == sorted(ids)
    assert in_order(receiver.ids)
