"""Tests of whole workers on a real broker and store: exact, shared, killed, stopped."""

import json
import re

from scoring.policy import Policy
from sinks.shard_store import ShardStore
from tests.integration.bench import Bench, Load, now_ms
from tests.integration.outcome import assert_same, expected, read_all, story
from tests.integration.worker_process import WorkerProcess


def test_worker__equals_the_reference(bench: Bench, policy: Policy) -> None:
    """Profiles, audiences, changes and dead letters of two topics are those of the specification."""
    count = bench.sender.send(story(events=2_500, users=250, seed=11))
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        bench.wait_done(worker, count)
        outcomes = ("applied", "duplicate", "ignored", "dead_lettered", "replayed_skipped")
        consumed = worker.metric("messages_consumed_total")
        assert consumed == count
        assert consumed == sum(worker.metric(f"messages_{outcome}_total") for outcome in outcomes)
        assert worker.stop() == 0
    assert_same(bench.observed(), expected(policy, bench.sender))


def test_worker__shares_partitions_and_takes_over(one_topic: Bench, policy: Policy, load: Load) -> None:
    """A second process gets half of the partitions, and all of them soon after the first was killed."""
    load.start(story(events=4_000, users=300, seed=12), seconds=12)
    with WorkerProcess(one_topic.settings, "first") as first:
        first.wait_ready()
        first.wait_until(lambda: first.owned() == 4)
        with WorkerProcess(one_topic.settings, "second") as second:
            second.wait_until(lambda: (first.owned(), second.owned()) == (2, 2))
            assert first.log.count("event=shard.kept") == 2
            first.kill()
            second.wait_until(lambda: second.owned() == 4)
            one_topic.wait_done(second, load.finish())
            assert second.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__stops_cleanly_under_load(one_topic: Bench, policy: Policy, load: Load) -> None:
    """SIGTERM in the middle of a stream commits, publishes and exits 0; the next worker goes on there."""
    load.start(story(events=4_000, users=300, seed=13), seconds=6)
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        worker.wait_until(lambda: one_topic.written() > 500)
        assert worker.stop() == 0
        assert one_topic.outbox() == 0
        assert "event=worker.stopped" in worker.log
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, load.finish())
        assert worker.metric("messages_replayed_skipped_total") == 0
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__logs_a_line_for_start_assignment_and_end(bench: Bench) -> None:
    """What a worker goes through is told once each, with what it starts with and how long it took."""
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        assert worker.stop() == 0
    lines = dict(re.findall(r"event=(\S+) time=\S+(.*)", worker.log))
    told = [event for event in re.findall(r"event=(\S+)", worker.log) if not event.startswith("shard.")]
    start = ["worker.started", "stages.assembled", "partitions.assigned"]
    assert told == [*start, "worker.stopping", "worker.stopped", "partitions.revoked"]
    assert re.search(r" version=\S+ policy=\w+@\d+ http=127.0.0.1:\d+$", lines["worker.started"])
    assert re.search(r" kernels_ms=\d+ stages_ms=\d+ kernel_cache=\S+/\w+$", lines["stages.assembled"])


def test_worker__fires_deadlines_in_silence(bench: Bench) -> None:
    """A user falls at the announced second although nothing is sent any more, with cause `time`."""
    bench.folder.joinpath("policy.yaml").write_text(SHORT_LIVED, encoding="utf-8")
    watermark = {"out_of_orderness": "200ms", "idle_after": "500ms"}
    settings = bench.write(policy=str(bench.folder / "policy.yaml"), watermark=watermark)
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.send({"event_id": "e1", "user_id": "u1", "type": "visit", "event_time": now_ms()})
        worker.wait_until(lambda: bench.profile("u1").get("mood") == "awake")
        falls_at_ms = int(bench.profile("u1")["mood.falls_at_ms"])
        worker.wait_until(lambda: bench.profile("u1")["mood"] == "asleep")
        assert bench.profile("u1")["mood.since_ms"] == str(falls_at_ms)
        worker.wait_until(lambda: bench.outbox() == 0)
        assert worker.stop() == 0
    fall = json.loads(read_all(bench.kafka, bench.topics.changes)[-1].value())
    assert (fall["from"], fall["to"], fall["cause"]) == ("awake", "asleep", "time")


def test_worker__loses_only_the_shard_that_is_taken(bench: Bench) -> None:
    """A worker whose claim on one shard was superseded drops that shard and goes on with the others."""
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        thief = ShardStore(bench.valkey.url, bench.prefix, bench.inputs)
        thief.claim(0)
        thief.close()
        bench.sender.send(story(events=600, users=100, seed=15))
        done = sum(len(held) for partition in (1, 2, 3) for held in bench.sender.sent[partition])
        worker.wait_until(lambda: worker.owned() == 3 and bench.written() == done)
        assert "event=store.fenced" in worker.log
        assert worker.metric("shards_fenced_total") == 1
        assert worker.stop() == 0
    assert not bench.store.exists(f"{bench.prefix}:shard:{{00}}:rows")


def test_worker__asks_anew_for_a_shard_that_nobody_has_kept(one_topic: Bench, policy: Policy) -> None:
    """A worker that lost a shard, which its group still takes for its own, joins again and goes on, nothing twice."""
    with WorkerProcess(one_topic.settings, program=("tests.integration.quick_to_rejoin",)) as worker:
        worker.wait_ready()
        thief = ShardStore(one_topic.valkey.url, one_topic.prefix, one_topic.inputs)
        thief.claim(0)
        thief.close()
        count = one_topic.sender.send(story(events=600, users=100, seed=18))
        worker.wait_until(lambda: "event=group.rejoined" in worker.log)
        one_topic.wait_done(worker, count)
        assert worker.log.count("event=store.fenced") == 1
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__reloads_a_shard_whose_store_went_back(one_topic: Bench, policy: Policy) -> None:
    """When a shard's keys are put back to an earlier state, the worker reads on from there, nothing twice."""
    shop = story(events=3_000, users=200, seed=16)
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        first = one_topic.sender.send(shop[:1_000])
        one_topic.wait_done(worker, first)
        keys = one_topic.store.scan_iter(f"{one_topic.prefix}:*")
        kept = {key: one_topic.store.dump(key) for key in keys}
        second = one_topic.sender.send(shop[1_000:2_000])
        one_topic.wait_done(worker, first + second)
        for key in one_topic.store.scan_iter(f"{one_topic.prefix}:*"):
            one_topic.store.delete(key)
        for key, dumped in kept.items():
            one_topic.store.restore(key, 0, dumped, replace=True)
        third = one_topic.sender.send(shop[2_000:])
        one_topic.wait_done(worker, first + second + third)
        assert worker.metric("shards_reloaded_total") == 4
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__takes_a_changed_policy_over(bench: Bench) -> None:
    """At a restart under another policy every user is judged anew, with cause `policy`."""
    path = bench.folder / "policy.yaml"
    lasting = SHORT_LIVED.replace("2s", "2d").replace("3s", "3d")
    path.write_text(lasting, encoding="utf-8")
    settings = bench.write(policy=str(path))
    bench.send({"event_id": "e1", "user_id": "u1", "type": "visit", "event_time": now_ms()})
    with WorkerProcess(settings) as worker:
        worker.wait_until(lambda: bench.profile("u1").get("mood") == "awake")
        assert worker.stop() == 0
    stricter = lasting.replace("version: 1", "version: 2").replace("enter_at: 50", "enter_at: 500")
    path.write_text(stricter, encoding="utf-8")
    with WorkerProcess(settings) as worker:
        worker.wait_until(lambda: bench.profile("u1").get("mood") == "asleep")
        worker.wait_until(lambda: bench.outbox() == 0)
        assert bench.profile("u1")["policy"] == "moods@2"
        assert worker.stop() == 0
    change = json.loads(read_all(bench.kafka, bench.topics.changes)[-1].value())
    assert (change["cause"], change["to"], change["seq"]) == ("policy", "asleep", 2)


SHORT_LIVED = """
policy: moods
version: 1
currency: EUR
timezone: UTC
events: {visit: {}}
features:
  silence: {kind: since, events: [visit]}
scores:
  presence: {combine: sum, parts: {silence: [[0, 100], [2s, 100], [3s, 0]]}}
ladders:
  mood:
    score: presence
    margin: 0
    rungs: [{name: asleep}, {name: awake, enter_at: 50}]
"""
