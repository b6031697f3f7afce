"""Tests of the limit on dead letters with whole workers: one topic partition stops, nothing is lost."""

import json

from flows.dev.generator import Message
from scoring.policy import Policy
from tests.integration.bench import Bench, now_ms
from tests.integration.outcome import assert_same, expected, story
from tests.integration.test_worker import SHORT_LIVED
from tests.integration.worker_process import WorkerProcess

IN_A_ROW = 1_000
BROKEN = b"<html>502 Bad Gateway</html>"


def rubbish(count: int, key: bytes) -> list[Message]:
    """Write what a broken sender sends."""
    return [Message("clickstream", key, BROKEN, now_ms())] * count


def held(bench: Bench, key: bytes, topic: int = 0) -> int:
    """Count what was sent to the topic partition of a key."""
    return len(bench.sender.sent[bench.sender.partition_of(key)][topic])


def written_in(bench: Bench, key: bytes, topic: int = 0) -> int:
    """Tell how far the store is with the topic partition of a key."""
    meta = f"{bench.prefix}:shard:{{{bench.sender.partition_of(key):02d}}}:meta"
    return int(bench.store.hget(meta, f"offset:{bench.inputs[topic]}") or 0)


def test_limit__stops_one_partition_and_loses_nothing(one_topic: Bench, policy: Policy) -> None:
    """The broken partition stops at the thousandth in a row, others go on; accepted, all comes out exact."""
    settings, key = one_topic.write(dead_letter_limit="on"), b"broken"
    one_topic.sender.send(story(events=1_000, users=100, seed=31))
    stop = held(one_topic, key) + IN_A_ROW
    one_topic.sender.send(rubbish(5_000, key))
    one_topic.sender.send(story(events=2_000, users=100, seed=31)[1_000:])
    others = one_topic.sender.sent.keys() - {one_topic.sender.partition_of(key)}
    total = stop + sum(len(one_topic.sender.sent[other][0]) for other in others)
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, total)
        assert written_in(one_topic, key) == stop
        assert worker.metric("partition_stopped") == 1
        (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
        assert "event=partition.stopped" in line
        assert f"topic={one_topic.inputs[0]} partition={one_topic.sender.partition_of(key)} " in line
        assert f'next_offset={stop} cause="1000 in a row were not_json, missing_field, wrong_type"' in line
        worker.wait_until(lambda: worker.metric("lag_messages") > 0)
        ahead = held(one_topic, key) - stop
        one_topic.sender.send(rubbish(5_000, key))
        worker.wait_until(lambda: worker.metric("lag_messages") > ahead)
        assert (worker.answers("/live"), worker.answers("/ready")) == (200, 200)
        assert written_in(one_topic, key) == stop
        assert worker.stop() == 0
    with WorkerProcess(settings, "again") as worker:
        worker.wait_until(lambda: written_in(one_topic, key) == stop + IN_A_ROW)
        assert worker.stop() == 0
    with WorkerProcess(settings, "accepting", ["--accept-dead-letters"]) as worker:
        one_topic.wait_done(worker.wait_ready(), sum(len(one) for (one,) in one_topic.sender.sent.values()))
        assert "event=dead_letters.accepted" in worker.log
        assert worker.metric("partition_stopped") == 0
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_limit__survives_rebalances(one_topic: Bench, policy: Policy) -> None:
    """A second worker comes and goes: each new owner tries at most a thousand more, and none skips one."""
    settings, key = one_topic.write(dead_letter_limit="on"), b"broken"
    one_topic.sender.send(story(events=400, users=50, seed=32))
    stop = held(one_topic, key) + IN_A_ROW
    one_topic.sender.send(rubbish(8_000, key))
    one_topic.sender.send(story(events=800, users=50, seed=32)[400:])
    with WorkerProcess(settings, "first") as first:
        first.wait_ready()
        first.wait_until(lambda: written_in(one_topic, key) == stop)
        with WorkerProcess(settings, "second") as second:
            second.wait_until(lambda: (first.owned(), second.owned()) == (2, 2))
            both = (first, second)
            first.wait_until(lambda: sum(one.metric("partition_stopped") for one in both) == 1)
            assert second.stop() == 0
        first.wait_until(lambda: first.owned() == 4 and first.metric("partition_stopped") == 1)
        moved = "stop.kept" not in first.log
        first.wait_until(lambda: written_in(one_topic, key) == stop + 2 * IN_A_ROW * moved)
        assert first.stop() == 0
    with WorkerProcess(settings, "accepting", ["--accept-dead-letters"]) as worker:
        one_topic.wait_done(worker.wait_ready(), sum(len(one) for (one,) in one_topic.sender.sent.values()))
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_limit__holds_the_time_of_its_shard(bench: Bench) -> None:
    """A stopped topic is not idle, at its end or not: its shard's falls wait, those of other shards do not."""
    bench.folder.joinpath("policy.yaml").write_text(SHORT_LIVED, encoding="utf-8")
    settings = bench.write(
        policy=str(bench.folder / "policy.yaml"),
        watermark={"out_of_orderness": "200ms", "idle_after": "500ms"},
        dead_letter_limit="on",
    )
    key, other = b"u0", next(one for one in (b"u1", b"u2", b"u3", b"u4") if apart(bench, one, b"u0"))
    for user in (key, other):
        event = {"event_id": "e", "user_id": user.decode(), "type": "visit", "event_time": now_ms()}
        bench.sender.send([Message("clickstream", user, json.dumps(event).encode(), now_ms())])
    bench.sender.send(rubbish(IN_A_ROW, key))  # The last one stops it: nothing lies behind.
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        worker.wait_until(lambda: worker.metric("partition_stopped") == 1)
        worker.wait_until(lambda: bench.profile(other.decode()).get("mood") == "asleep")
        bench.send({"event_id": "e2", "user_id": other.decode(), "type": "visit", "event_time": now_ms()})
        worker.wait_until(lambda: bench.profile(other.decode())["seq"] == "4")  # Rose and fell once more.
        # Changes of a shard that is behind gather for a while.
        worker.wait_until(lambda: bench.profile(key.decode()).get("mood") == "awake")
        assert worker.stop() == 0
    with WorkerProcess(settings, "accepting", ["--accept-dead-letters"]) as worker:
        worker.wait_until(lambda: bench.profile(key.decode())["mood"] == "asleep")
        assert worker.stop() == 0


def apart(bench: Bench, one: bytes, other: bytes) -> bool:
    """Tell whether two keys have different partitions."""
    return bench.sender.partition_of(one) != bench.sender.partition_of(other)
