"""Tests of stored offsets that Kafka no longer has: nothing is skipped, or mixed up, without a word."""

import os
import signal

import pytest

from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess
from tests.topic_admin import delete_records, delete_topic, make_anew

EARLIEST = ("--on-offset-gap=earliest",)
SHOP = story(events=1_200, users=120, seed=31)
FIRST, ALL = SHOP[:700], SHOP


def score(bench: Bench, count: int) -> None:
    """Have a worker score all that was sent, and stop it."""
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0


def refusal(bench: Bench, options: tuple[str, ...] = ()) -> str:
    """Run a worker that must refuse; answer the one line of its log that says why."""
    with WorkerProcess(bench.settings, options=options) as worker:
        return reason_of(worker)


def reason_of(worker: WorkerProcess) -> str:
    """Wait for a worker that must end by itself; answer the one line of its log that says why."""
    assert worker.wait_end() == 1
    (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
    assert "stack backtrace" not in worker.log
    return line


def delete_unread(bench: Bench, count: int) -> dict[int, int]:
    """Delete all that was scored and so many unread messages of each partition; answer where each begins."""
    topic = bench.topics.clickstream
    stored = {number: int(bench.meta(number)[f"offset:{topic}"]) for number in range(bench.topics.partitions)}
    firsts = {number: offset + count for number, offset in stored.items()}
    delete_records(bench.kafka.bootstrap, topic, firsts)
    return firsts


def test_worker__refuses_what_retention_has_eaten(one_topic: Bench, policy: Policy) -> None:
    """Events deleted unread end the worker with their number; told to, it goes on without exactly these."""
    topic = one_topic.topics.clickstream
    score(one_topic, one_topic.sender.send(FIRST))
    stored = one_topic.meta(0)[f"offset:{topic}"]
    one_topic.sender.send(ALL[len(FIRST) :])
    firsts = delete_unread(one_topic, 7)
    line = refusal(one_topic)
    assert (
        f"{topic} partition 0: reading is to go on at offset {stored}, but Kafka begins at {firsts[0]}"
        in line
    )
    assert "7 offsets were deleted unread" in line
    assert "--on-offset-gap=earliest" in line
    with WorkerProcess(one_topic.settings, options=EARLIEST) as worker:
        one_topic.wait_done(worker.wait_ready(), len(ALL))
        assert worker.log.count("event=offsets.skipped") == 4
        assert f"stored={stored} first={firsts[0]} count=7" in worker.log
        assert worker.stop() == 0
    for partition, (held,) in one_topic.sender.sent.items():
        del held[firsts[partition] - 7 : firsts[partition]]
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__ends_when_retention_overtakes_it(one_topic: Bench) -> None:
    """A worker that was held up until its place was deleted says so, and does not jump."""
    count = one_topic.sender.send(FIRST)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        os.kill(worker.pid, signal.SIGSTOP)
        one_topic.sender.send(ALL[len(FIRST) :])
        delete_unread(one_topic, 7)
        os.kill(worker.pid, signal.SIGCONT)
        assert "7 offsets were deleted unread" in reason_of(worker)
    assert one_topic.written() == count


def test_worker__refuses_a_topic_that_has_lost_its_end(one_topic: Bench) -> None:
    """Where Kafka has less than was scored, reading would skip what comes next: the worker ends instead."""
    topic = one_topic.topics.clickstream
    score(one_topic, one_topic.sender.send(FIRST))
    end = len(one_topic.sender.sent[0][0])
    one_topic.store.hset(f"{one_topic.prefix}:shard:{{00}}:meta", f"offset:{topic}", end + 50)
    line = refusal(one_topic, EARLIEST)
    assert f"{topic} partition 0: reading is to go on at offset {end + 50}, but Kafka ends at {end}" in line
    assert "start under another prefix" in line


@pytest.mark.parametrize("again", [FIRST[:40], ALL], ids=["shorter", "longer"])
def test_worker__refuses_a_topic_made_anew(one_topic: Bench, again: list) -> None:  # type: ignore[type-arg]
    """A topic of the same name whose messages are others is refused, however many it has by now."""
    topic = one_topic.topics.clickstream
    score(one_topic, one_topic.sender.send(FIRST))
    make_anew(one_topic.kafka.bootstrap, topic, one_topic.topics.partitions)
    one_topic.sender.send(again)
    for options in ((), EARLIEST):
        line = refusal(one_topic, options)
        assert f"{topic}: was deleted and made anew" in line
        assert "start under another prefix" in line


def test_worker__ends_when_its_topic_is_made_anew(one_topic: Bench) -> None:
    """A topic that is replaced under a running worker, in a moment and with more messages, ends it."""
    topic = one_topic.topics.clickstream
    count = one_topic.sender.send(FIRST)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        make_anew(one_topic.kafka.bootstrap, topic, one_topic.topics.partitions)
        one_topic.sender.send(ALL)
        assert f"{topic}: was deleted and made anew" in reason_of(worker)


def test_worker__ends_when_its_topic_is_deleted(one_topic: Bench) -> None:
    """A topic that is gone ends the worker, which names it."""
    topic = one_topic.topics.clickstream
    count = one_topic.sender.send(FIRST)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        delete_topic(one_topic.kafka.bootstrap, topic)
        assert topic in reason_of(worker)
