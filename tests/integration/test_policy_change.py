"""Workers that start again under another policy. This file shows what becomes of profiles, audiences, changes."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.policy_file import parse_policy
from flows.dev.generator import Message
from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import Outcome, assert_same, expected
from tests.integration.worker_process import WorkerProcess
from tests.reference import Reference

USERS = 200
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
START_MS = 1_788_220_800_000  # 2026-09-01T00:00:00Z

OLD = """
policy: shop
version: 1
currency: EUR
timezone: Europe/Berlin
events: {visit: {}, buy: {order: true}, undo: {refund: true}}
features:
  warmth: {kind: decayed, half_life: 4d, weights: {visit: 10, buy: 25}}
  spend: {kind: total, of: amount, events: [buy]}
scores:
  mood: {parts: {warmth: [[0, 0], [100, 100]]}}
  value: {parts: {spend: [[0, 0], [100, 100]]}}
ladders:
  tier: {score: mood, margin: 0.2, rungs: [{name: bronze}, {name: silver, enter_at: 20}, {name: gold, enter_at: 40}]}
  value: {score: value, rungs: [{name: low}, {name: mid, enter_at: 10}, {name: high, enter_at: 30}]}
  gone: {score: mood, rungs: [{name: none}, {name: some, enter_at: 5}]}
tags:
  keen: {score: mood, enter_at: 30}
  buyer: {score: value, enter_at: 10}
"""
NEW = """
policy: shop
version: 2
currency: EUR
timezone: Europe/Berlin
events: {visit: {}, buy: {order: true}, undo: {refund: true}}
features:
  buys: {kind: total, events: [buy]}
  spend: {kind: total, of: amount, events: [buy]}
  warmth: {kind: decayed, half_life: 4d, weights: {visit: 10, buy: 25}}
scores:
  mood: {parts: {warmth: [[0, 0], [100, 100]]}}
  value: {parts: {spend: [[0, 0], [100, 100]]}}
  habit: {parts: {buys: [[0, 0], [10, 10]]}}
ladders:
  fresh: {score: mood, rungs: [{name: base}, {name: top, enter_at: 25}]}
  tier: {score: mood, margin: 0.2, grace: 2d, rungs: [{name: bronze}, {name: gold, enter_at: 30}]}
  value: {score: value, rungs: [{name: low}, {name: medium, enter_at: 10}, {name: high, enter_at: 40}]}
  habit: {score: habit, rungs: [{name: none}, {name: some, enter_at: 1}]}
tags:
  buyer: {score: value, enter_at: 20}
"""


def deeds(count: int, first: int, start_ms: int) -> list[Message]:
    """Let users do something at random moments of ten days."""
    moments = random.Random(first)
    messages = []
    for number, at_ms in enumerate(
        sorted(start_ms + moments.randrange(10 * DAY_MS) for _ in range(count)), first
    ):
        user_id, kind = f"u{moments.randrange(USERS)}", moments.choice(("visit", "visit", "buy"))
        fields: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": user_id,
            "type": kind,
            "event_time": at_ms,
        }
        if kind == "buy":
            fields |= {"order_id": f"o{number}", "amount": moments.choice([5, 12.5, 20])}
        messages.append(Message("clickstream", user_id.encode(), json.dumps(fields).encode(), at_ms))
    return messages


def policy_of(text: str) -> Policy:
    """Read a policy."""
    return parse_policy(yaml.safe_load(text), "test")


def specified(bench: Bench, sent_before: dict[int, int]) -> Outcome:
    """Run the reference over every shard, with the change behind so many of its messages."""
    outcome = Outcome()
    for partition, (held,) in bench.sender.sent.items():
        reference = Reference(policy_of(OLD), 1, partition)
        for message in held[: sent_before[partition]]:
            reference.message(0, *message)
        reference.change_policy(policy_of(NEW))
        for message in held[sent_before[partition] :]:
            reference.message(0, *message)
        assert reference.watermark_ms is not None
        reference.fire(reference.watermark_ms)
        outcome.add(reference)
    return outcome


@pytest.fixture
def policy_file(one_topic: Bench) -> Path:
    """Have the worker read a policy that the test may change, the old one at first."""
    path = one_topic.folder / "policy.yaml"
    path.write_text(OLD, encoding="utf-8")
    one_topic.write(policy=str(path))
    return path


def run_until_done(bench: Bench, count: int) -> None:
    """Run a worker until all is scored and published, and stop it."""
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0, worker.log


def test_policy_change__leaves_what_the_specification_says(one_topic: Bench, policy_file: Path) -> None:
    """Rungs renamed and removed, ladders and tags gone and new: all that apps read is right, killed or not."""
    bench = one_topic
    count = bench.sender.send(deeds(900, first=0, start_ms=START_MS))
    sent_before = {partition: len(held) for partition, (held,) in bench.sender.sent.items()}
    run_until_done(bench, count)
    assert bench.store.exists(f"{bench.prefix}:audience:tier:silver", f"{bench.prefix}:audience:keen:on") == 2
    policy_file.write_text(NEW, encoding="utf-8")
    before = bench.writes()
    with WorkerProcess(bench.settings, "killed") as worker:
        worker.wait_until(lambda: bench.writes() > before, deadline_s=150)
        worker.kill()
    count += bench.sender.send(deeds(300, first=1_000, start_ms=START_MS + 10 * DAY_MS + HOUR_MS))
    run_until_done(bench, count)
    found = bench.observed()
    assert_same(found, specified(bench, sent_before))
    by_policy = [
        change for changes in found.changes.values() for change in changes if change["cause"] == "policy"
    ]
    assert {("silver", "gold"), ("silver", "bronze"), ("mid", "medium"), ("base", "top")} <= {
        (change["from"], change["to"]) for change in by_policy
    }
    assert not any("cause_event_id" in change for change in by_policy)


def test_policy_change__refuses_another_currency_and_name(one_topic: Bench, policy_file: Path) -> None:
    """A policy that cannot take over what is stored ends the worker, which says why; nothing is written."""
    bench = one_topic
    run_until_done(bench, bench.sender.send(deeds(100, first=0, start_ms=START_MS)))
    wanted, writes = bench.observed(), bench.writes()
    for old, new, reason in (
        ("currency: EUR", "currency: USD", "currency: stored money is in EUR, the policy says USD"),
        ("policy: shop", "policy: bazaar", "the store holds shop, the settings name bazaar"),
    ):
        policy_file.write_text(NEW.replace(old, new), encoding="utf-8")
        with WorkerProcess(bench.settings) as worker:
            assert worker.wait_end() == 1
            assert reason in worker.log
            assert "Traceback" not in worker.log
    assert bench.writes() == writes
    assert_same(bench.observed(), wanted)
    policy_file.write_text(OLD, encoding="utf-8")
    run_until_done(bench, sum(len(held) for (held,) in bench.sender.sent.values()))
    assert_same(bench.observed(), expected(policy_of(OLD), bench.sender))
