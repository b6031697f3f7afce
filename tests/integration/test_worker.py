"""Tests of whole workers on a real broker and store: exact, shared, killed, stopped, refused."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from config.policy_file import load_policy
from flows.cli import main
from flows.dev.embedded import KafkaServer, ValkeyServer, create_topics
from flows.dev.generator import Message
from scoring.policy import Policy
from sinks.shard_store import ShardStore
from tests.conftest import Topics
from tests.integration.outcome import Outcome, Sender, assert_same, expected, observed, read_all, story
from tests.integration.worker_process import POLICY, WorkerProcess, write_settings

KILLS = int(os.environ.get("TIERWISE_TEST_KILLS", "3"))


@dataclass
class Bench:
    """The servers of one test with its topics, settings and sender."""

    valkey: ValkeyServer
    kafka: KafkaServer
    store: redis.Redis
    topics: Topics
    prefix: str
    folder: Path
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        everything = self.inputs[0] if len(self.inputs) == 1 else ""
        names = {
            "clickstream": everything or self.topics.clickstream,
            "orders": everything or self.topics.orders,
        }
        self.sender = Sender(self.kafka, self.topics.partitions, self.inputs, names)
        self.settings = self.write()

    def write(self, inputs: Sequence[str] = (), **changed: Any) -> Path:
        """Write the settings file once more, changed."""
        topics = {
            "input": list(inputs or self.inputs),
            "changes": self.topics.changes,
            "dead_letters": self.topics.dead_letters,
        }
        settings: dict[str, Any] = {"prefix": self.prefix, "group": self.topics.group, "topics": topics}
        return write_settings(self.folder, self.valkey, self.kafka, {**settings, **changed})

    def send(self, *events: dict[str, Any], topic: str = "clickstream") -> None:
        """Send single events, each stamped with its own time."""
        messages = [
            Message(topic, event["user_id"].encode(), json.dumps(event).encode(), event["event_time"])
            for event in events
        ]
        self.sender.send(messages)

    def written(self) -> int:
        """Count the messages that are done with, from the offsets in the store."""
        total = 0
        for partition in range(self.topics.partitions):
            meta = self.store.hgetall(f"{self.prefix}:shard:{{{partition:02d}}}:meta")
            total += sum(int(value) for name, value in meta.items() if name.startswith(b"offset:"))
        return total

    def writes(self) -> int:
        """Count the atomic writes of all shards so far."""
        metas = [f"{self.prefix}:shard:{{{one:02d}}}:meta" for one in range(self.topics.partitions)]
        return sum(int(self.store.hget(meta, "number") or 0) for meta in metas)

    def outbox(self) -> int:
        """Count the entries that are durable and not yet known to be published."""
        return sum(
            self.store.xlen(f"{self.prefix}:shard:{{{partition:02d}}}:outbox")
            for partition in range(self.topics.partitions)
        )

    def profile(self, user_id: str) -> dict[str, str]:
        """Read one profile."""
        found = self.store.hgetall(f"{self.prefix}:user:{user_id}")
        return {name.decode(): value.decode() for name, value in found.items()}

    def wait_done(self, worker: WorkerProcess, messages: int) -> None:
        """Wait until all messages are scored and everything of them is published."""
        worker.wait_until(lambda: self.written() == messages and self.outbox() == 0)

    def observed(self) -> Outcome:
        """Read what came out."""
        return observed(
            self.store,
            self.kafka,
            self.prefix,
            self.inputs,
            self.topics.changes,
            self.topics.dead_letters,
        )


@pytest.fixture
def bench(
    valkey: ValkeyServer, kafka: KafkaServer, store: redis.Redis, topics: Topics, prefix: str, tmp_path: Path
) -> Bench:
    """Prepare a worker that reads two topics."""
    return Bench(valkey, kafka, store, topics, prefix, tmp_path, topics.input)


@pytest.fixture
def one_topic(
    valkey: ValkeyServer, kafka: KafkaServer, store: redis.Redis, topics: Topics, prefix: str, tmp_path: Path
) -> Bench:
    """Prepare a worker that reads one topic, so that its order is known however fast it is read."""
    return Bench(valkey, kafka, store, topics, prefix, tmp_path, (topics.clickstream,))


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Read the policy that ships."""
    return load_policy(POLICY)


@pytest.fixture
def load(one_topic: Bench) -> Iterator["Load"]:
    """Send a story at its own pace while a test does something else."""
    running = Load(one_topic.sender)
    yield running
    running.finish()


class Load:
    """A sender on a thread of its own."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self.count = 0

    def start(self, messages: list[Message], seconds: float) -> None:
        """Send all messages, spread over this time."""
        self._thread = threading.Thread(target=self._run, args=(messages, seconds), daemon=True)
        self._thread.start()

    def finish(self) -> int:
        """Wait until all are sent; answer how many."""
        if self._thread is not None:
            self._thread.join()
        return self.count

    def _run(self, messages: list[Message], seconds: float) -> None:
        started_s, step = time.monotonic(), max(1, len(messages) // 200)
        for first in range(0, len(messages), step):
            wait_s = started_s + seconds * first / len(messages) - time.monotonic()
            self._is_stopped.wait(max(0.0, wait_s))
            self.count += self._sender.send(messages[first : first + step])


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
            second.wait_until(lambda: second.owned() == 4, deadline_s=15)
            one_topic.wait_done(second, load.finish())
            assert second.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__stops_cleanly_under_load(one_topic: Bench, policy: Policy, load: Load) -> None:
    """SIGTERM in the middle of a stream commits, publishes and exits 0; the next worker goes on there."""
    load.start(story(events=4_000, users=300, seed=13), seconds=6)
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        worker.wait_until(lambda: one_topic.written() > 500)
        stopped_s = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - stopped_s < 10
        assert one_topic.outbox() == 0
        assert "event=worker.stopped" in worker.log
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, load.finish())
        assert worker.metric("messages_replayed_skipped_total") == 0
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__survives_kills(one_topic: Bench, policy: Policy, load: Load) -> None:
    """After kill -9 at random moments under load everything is as if nothing had happened."""
    moments = random.Random(14)
    load.start(story(events=6_000, users=400, seed=14), seconds=4.0 * KILLS)
    for _ in range(KILLS):
        with WorkerProcess(one_topic.settings) as worker:
            before = one_topic.written()
            worker.wait_ready()
            worker.wait_until(lambda before=before: one_topic.written() > before or load.count == 6_000)
            time.sleep(moments.uniform(0.0, 0.6))
            worker.kill()
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, load.finish())
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__survives_kills_with_two_topics(bench: Bench, policy: Policy) -> None:
    """However often a worker is killed on its way through a backlog, the order of two topics stays."""
    moments = random.Random(17)
    count = bench.sender.send(story(events=8_000, users=1_500, seed=17))
    settings = bench.write(commit_interval="20ms")
    for _ in range(KILLS):
        with WorkerProcess(settings) as worker:
            worker.wait_ready()
            wanted = bench.writes() + moments.randint(1, 6)
            worker.wait_until(lambda wanted=wanted: bench.writes() >= wanted or bench.written() == count)
            worker.kill()
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.wait_done(worker, count)
        assert worker.stop() == 0
    assert_same(bench.observed(), expected(policy, bench.sender))


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
        assert now_ms() - falls_at_ms < 5_000
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


def test_worker__refuses_topics_of_unequal_partitions(bench: Bench) -> None:
    """Input topics that cannot be one shard's are refused at start with the way out, exit code 2."""
    create_topics(bench.kafka.bootstrap, [f"{bench.prefix}.wide"], partitions=7)
    inputs = [bench.topics.orders, f"{bench.prefix}.wide"]
    with WorkerProcess(bench.write(inputs)) as worker:
        assert worker.wait_end() == 2
        assert "event=topics.refused" in worker.log
        assert f"{bench.topics.orders} has 4, {bench.prefix}.wide has 7" in worker.log
        assert "rekey" in worker.log


def test_worker__refuses_missing_topics(bench: Bench) -> None:
    """An input topic that does not exist is named, exit code 2."""
    with WorkerProcess(bench.write(["no.such.topic"])) as worker:
        assert worker.wait_end() == 2
        assert "no.such.topic not found" in worker.log


def test_worker__stops_at_a_user_of_two_shards(bench: Bench) -> None:
    """A user with events in two partitions ends the worker, which names the way out, exit code 1."""
    event = {"user_id": "u1", "type": "page_view", "event_time": now_ms()}
    bench.send({**event, "event_id": "e1"})
    with WorkerProcess(bench.settings) as worker:
        worker.wait_until(lambda: bool(bench.profile("u1")))
        owner, again = int(bench.profile("u1")["shard"]), {**event, "event_id": "e2"}
        key = next(key for key in (b"a", b"b", b"c", b"d") if bench.sender.partition_of(key) != owner)
        bench.sender.send([Message("clickstream", key, json.dumps(again).encode(), now_ms())])
        assert worker.wait_end() == 1
        assert "not_copartitioned" in worker.log
        assert "tierwise rekey" in worker.log
        assert "stack backtrace" not in worker.log


def test_worker__stops_idle_within_a_second_or_two(bench: Bench) -> None:
    """An idle worker ends soon, whichever of the two signals asks it to."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with WorkerProcess(bench.settings) as worker:
            worker.wait_ready()
            started_s = time.monotonic()
            os.kill(worker.pid, number)
            assert worker.wait_end(10) == 0
            assert time.monotonic() - started_s < 5


def test_worker__idles_cheaply(bench: Bench) -> None:
    """A worker with nothing to do uses a small part of a core, and goes on committing ticks."""
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        before_s = _cpu_s(worker.pid)
        time.sleep(3.0)  # A share of time cannot be waited for.
        assert _cpu_s(worker.pid) - before_s < 0.45
        assert worker.answers("/live") == 200


def test_explain__agrees_with_the_profile(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Rung, score, missing points and next fall are those of the profile; an unknown user ends with 1."""
    count = bench.sender.send(story(events=1_000, users=60, seed=18))
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0
    user_id = max(bench.observed().profiles.items(), key=lambda one: int(one[1]["seq"]))[0]
    profile = bench.profile(user_id)
    assert main(["explain", user_id, "--json", "--settings", str(bench.settings)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seq"], told["spend"], told["orders"]) == (
        int(profile["seq"]),
        profile["spend"],
        int(profile["orders"]),
    )
    assert sorted(name for name, tag in told["tags"].items() if tag["rung"] == "on") == [
        name for name in profile["tags"].split(",") if name
    ]
    for name, ladder in told["ladders"].items():
        assert (ladder["rung"], ladder["rank"]) == (profile[name], int(profile[f"{name}.rank"]))
        assert ladder["score"] == pytest.approx(float(profile[f"{name}.score"]), abs=2e-6)
        assert ("next" in ladder, "falls_at" in ladder) == (
            f"{name}.next" in profile,
            f"{name}.falls_at_ms" in profile,
        )
    assert main(["explain", "nobody", "--settings", str(bench.settings)]) == 1
    assert "no user 'nobody'" in capsys.readouterr().err


def now_ms() -> int:
    """Give the Unix time."""
    return time.time_ns() // 1_000_000


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
