"""Users about whom nothing can change leave memory. This file shows that they come back as they were."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.policy_file import parse_policy
from flows.cli import main
from flows.dev.generator import Message
from scoring.policy import Policy
from sinks.keyspace import Keyspace
from sinks.stored_row import read_stored_row
from tests.integration.bench import Bench
from tests.integration.outcome import DAY_MS, START_MS, assert_same, expected
from tests.integration.test_erase import keys_that_name
from tests.integration.test_worker_metrics import Scrape
from tests.integration.worker_process import WorkerProcess

PROGRAM = ("tests.integration.quick_to_forget",)
USERS = 400
KILLS = 4
MINUTE_MS = 60_000
POLICY = """
policy: brief
version: 1
currency: EUR
timezone: UTC
events: {visit: {}, buy: {order: true}, refund: {refund: true}}
features:
  warmth: {kind: decayed, half_life: 2h, weights: {visit: 10, buy: 25}}
  buys: {kind: total, events: [buy]}
scores:
  mood: {parts: {warmth: [[0, 0], [50, 100]]}}
  loyalty: {parts: {buys: [[0, 0], [10, 10]]}}
ladders:
  mood: {score: mood, margin: 0.2, rungs: [{name: cool}, {name: warm, enter_at: 15}, {name: hot, enter_at: 60}]}
  loyalty: {score: loyalty, margin: 0, rungs: [{name: none}, {name: some, enter_at: 1}, {name: many, enter_at: 3}]}
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Make a policy of ladders that everybody falls from within a day, or never."""
    return parse_policy(yaml.safe_load(POLICY), "test")


@pytest.fixture
def settings(one_topic: Bench, tmp_path: Path) -> Path:
    """Write the settings of a worker under that policy."""
    path = tmp_path / "brief.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return one_topic.write(policy=str(path), commit_interval="50ms")


def visits(day: int, seed: int, users: int = USERS) -> list[Message]:
    """Let each user do one to three things on a day, in order of time; ids are the same for the same seed."""
    dice, events = random.Random(seed), []
    for number in range(users):
        for count in range(dice.randint(1, 3)):
            at_ms = START_MS + day * DAY_MS + dice.randrange(6 * 60) * MINUTE_MS
            name = f"{seed}-{number}-{count}"
            fields: dict[str, Any] = {
                "event_id": f"e{name}",
                "user_id": f"u{number:03d}",
                "event_time": at_ms,
            }
            fields |= dice.choice([{"type": "visit"}, {"type": "buy", "order_id": f"o{name}", "amount": 10}])
            events.append(fields)
    return [message(event) for event in sorted(events, key=lambda one: int(one["event_time"]))]


def message(event: dict[str, Any], sent_ms: int | None = None) -> Message:
    """Send an event when it happens, or later."""
    value = json.dumps(event).encode()
    return Message("clickstream", event["user_id"].encode(), value, sent_ms or event["event_time"])


def noon(day: int, partition: int) -> Message:
    """Let it be noon in a shard: one more user, whose visit makes time pass."""
    user_id = f"clock-{partition}"
    at_ms = START_MS + day * DAY_MS + DAY_MS // 2 + MINUTE_MS * partition
    return message({"event_id": f"noon {day}", "user_id": user_id, "type": "visit", "event_time": at_ms})


class Silence:
    """A worker's users and where they are."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.keys = bench, Keyspace(bench.prefix)
        self.clocks: dict[int, int] = {}
        self.sent = 0

    def send(self, messages: list[Message]) -> None:
        """Send messages to the partitions of their keys."""
        self.sent += self.bench.sender.send(messages)

    def send_noon(self, day: int) -> None:
        """Let it be noon in every shard."""
        wanted = {*range(self.bench.topics.partitions)}
        for number in range(1_000):
            one = noon(day, number)
            partition = self.bench.sender.partition_of(one.key)
            if partition in wanted:
                wanted.discard(partition)
                self.send([one])

    def stored(self, home: str) -> int:
        """Count the rows that the store has, `rows` or `cold`."""
        key = getattr(self.keys, home)
        return sum(self.bench.store.hlen(key(one)) for one in range(self.bench.topics.partitions))

    def wait_done(self, worker: WorkerProcess) -> None:
        """Wait until everything is scored and published, and compare the store with itself."""
        self.bench.wait_done(worker, self.sent)
        for partition in range(self.bench.topics.partitions):
            rows, cold = (self.bench.store.hkeys(key(partition)) for key in (self.keys.rows, self.keys.cold))
            assert not {*rows} & {*cold}
            counts = json.loads(self.bench.meta(partition)["cold"])["rungs"]
            assert {sum(ladder) for ladder in counts} == {len(cold)}

    def wait_gone(self, worker: WorkerProcess) -> None:
        """Wait until only the clocks are in memory, and everybody is counted all the same."""
        clocks = self.bench.topics.partitions
        worker.wait_until(lambda: worker.metric("shard_users_in_memory") == clocks)
        everybody = self.stored("rows") + self.stored("cold")
        assert worker.metric("shard_users") == everybody
        members = [
            self.bench.store.scard(self.keys.audience("mood", rung)) for rung in ("cool", "warm", "hot")
        ]
        assert sum(members) == everybody
        assert worker.metric("rung_users") == 2 * everybody


def test_cold_users__leave_memory_and_come_back_as_they_were(
    one_topic: Bench, settings: Path, policy: Policy
) -> None:
    """Silent users are apart in the store, not loaded by a successor, and return with seq, rung, totals and memory."""
    silence = Silence(one_topic)
    partitions = one_topic.topics.partitions
    first = visits(0, seed=1)
    with WorkerProcess(settings, program=PROGRAM) as worker:
        silence.send(first)
        silence.send_noon(1)
        silence.wait_done(worker.wait_ready())
        assert (silence.stored("rows"), silence.stored("cold")) == (partitions, USERS)
        silence.wait_gone(worker)
        worker.kill()
    with WorkerProcess(settings, program=PROGRAM) as worker:
        worker.wait_ready()
        assert worker.metric("shard_users_in_memory") in (0, partitions)
        assert sum(int(line.split(" cold=")[1].split()[0]) for line in loads(worker)) == USERS
        # The same events once more, which are still remembered; orders are paid back; half of the users do more.
        silence.send([one._replace(ingest_time_ms=START_MS + 2 * DAY_MS) for one in first])
        silence.send([refund(json.loads(one.value)) for one in first if b"order_id" in one.value][::2])
        silence.send(visits(2, seed=2, users=USERS // 2))
        silence.wait_done(worker)
        assert worker.metric("messages_duplicate_total") == len(first)
        scrape = Scrape(worker, one_topic.prefix)
        assert re.search(r'lookup_seconds_count{of="users"} [1-9]', scrape.text)
        silence.send_noon(3)
        silence.wait_done(worker)
        silence.wait_gone(worker)
        assert worker.stop() == 0
    assert read_stored_row(one_topic.valkey.url, one_topic.prefix, "u007") is not None
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_cold_users__survive_kills(one_topic: Bench, settings: Path, policy: Policy) -> None:
    """A worker that is killed anywhere between falling silent and coming back makes no difference."""
    silence, moments = Silence(one_topic), random.Random(3)
    for kill in range(KILLS):
        with WorkerProcess(settings, program=PROGRAM) as worker:
            worker.wait_ready()
            before = one_topic.writes()
            silence.send(visits(2 * kill, seed=10 + kill))
            silence.send_noon(2 * kill + 1)
            wanted = before + moments.randint(1, 8)
            worker.wait_until(lambda wanted=wanted: one_topic.writes() >= wanted)
            worker.kill()
    with WorkerProcess(settings, program=PROGRAM) as worker:
        silence.wait_done(worker.wait_ready())
        silence.wait_gone(worker)
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_cold_users__are_erased_like_others(one_topic: Bench, settings: Path) -> None:
    """Who is in the store alone is erased from there, and goes on with the next seq when coming back."""
    silence = Silence(one_topic)
    with WorkerProcess(settings, program=PROGRAM) as worker:
        silence.send(visits(0, seed=1))
        silence.send_noon(1)
        silence.wait_done(worker.wait_ready())
        silence.wait_gone(worker)
        seq = int(one_topic.profile("u007")["seq"])
        assert main(["erase", "u007", "--settings", str(settings)]) == 0
        assert keys_that_name(one_topic.store, one_topic.prefix, "u007") == []
        assert silence.stored("cold") == USERS - 1
        silence.wait_done(worker)
        silence.send(visits(2, seed=2, users=8))
        silence.wait_done(worker)
        assert int(one_topic.profile("u007")["seq"]) > seq + 2
        assert one_topic.profile("u007")["first_seen_ms"] > str(START_MS + 2 * DAY_MS)
        silence.send_noon(3)
        silence.wait_done(worker)
        silence.wait_gone(worker)


def refund(order: dict[str, Any]) -> Message:
    """Pay back an order on the second day."""
    at_ms = START_MS + 2 * DAY_MS
    event = {"event_id": f"back {order['event_id']}", "type": "refund", "event_time": at_ms}
    return message({**event, "user_id": order["user_id"], "order_id": order["order_id"], "amount": 4})


def loads(worker: WorkerProcess) -> list[str]:
    """List what the worker has said of its loads."""
    return [line for line in worker.log.splitlines() if "event=shard.loaded" in line]
