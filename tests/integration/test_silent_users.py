"""Ten thousand users who fall silent. This file shows that each one falls at the specified second."""

import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from config.policy_file import parse_policy
from flows.dev.generator import Message
from scoring.policy import Policy
from tests.conftest import Topics
from tests.integration.bench import Place
from tests.integration.outcome import Outcome, assert_same
from tests.integration.site import Site, assert_conserved, expected_in_parallel

USERS = 10_000
YOUNG_USERS = 300
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 1_788_220_800_000  # 2026-09-01T00:00:00Z
SPREAD_MS = 10 * DAY_MS
TICKING_MS = 12 * DAY_MS
"""Long enough for most falls; the others are due after the end of the stream, so they must not happen."""

NewSite = Callable[..., Site]

POLICY = """
policy: silence
version: 1
currency: EUR
timezone: Europe/Berlin
events: {visit: {}, buy: {order: true}}
features:
  warmth: {kind: decayed, half_life: 4d, weights: {visit: 10, buy: 25}}
  buys_12d: {kind: window, events: [buy], span: 12d, bucket: 1d}
  age: {kind: since, events: [visit, buy]}
scores:
  mood: {parts: {warmth: [[0, 0], [50, 100]]}}
  buying: {parts: {buys_12d: [[0, 0], [10, 10]]}}
  presence: {parts: {age: [[0s, 100], [3d, 0]]}}
ladders:
  at_once:
    score: mood
    margin: 0.2
    rungs: [{name: cold}, {name: warm, enter_at: 15}, {name: hot, enter_at: 60}]
  patient:
    score: buying
    margin: 0.1
    grace: 36h
    min_dwell: 14d   # Now the grace is the longer wait, now this.
    rungs: [{name: none}, {name: some, enter_at: 1}, {name: many, enter_at: 2}]
  stepwise:
    score: mood
    margin: 0.5
    max_steps_down: 1
    step_period: 5d
    rungs: [{name: low}, {name: middle, enter_at: 30}, {name: high, enter_at: 40}]
tags:
  present: {score: presence, enter_at: 50}
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Make a policy with every way to fall: at once, late, step by step, by decay, window and age."""
    return parse_policy(yaml.safe_load(POLICY), "test")


@pytest.fixture
def new_site(place: Place, policy: Policy) -> NewSite:
    """Prepare a worker that reads the given topics, under these settings."""
    return partial(Site, *place, policy)


def event(number: int, user_id: str, kind: str, at_ms: int) -> Message:
    """Write one event, sent when it happens."""
    fields: dict[str, Any] = {"event_id": f"e{number}", "user_id": user_id, "type": kind, "event_time": at_ms}
    if kind == "buy":
        fields |= {"order_id": f"o{number}", "amount": 10}
    topic = "orders" if kind == "buy" else "clickstream"
    return Message(topic, user_id.encode(), json.dumps(fields).encode(), at_ms)


def crowd(users: int, start_ms: int, spread_ms: int, first: int = 0) -> list[Message]:
    """Let each user do one to three things at random moments, then nothing; in order of time."""
    moments = random.Random(first + users)
    deeds = [
        (start_ms + moments.randrange(spread_ms), f"u{number}", moments.choice(("visit", "visit", "buy")))
        for number in range(first, first + users)
        for _ in range(moments.randint(1, 3))
    ]
    return [
        event(first * 10 + n, user_id, kind, at_ms) for n, (at_ms, user_id, kind) in enumerate(sorted(deeds))
    ]


def ticking(site: Site) -> Iterator[list[Message]]:
    """Let one more user of each partition come by every few hours: time goes on for all others."""
    names = (f"ticking{number}" for number in range(1_000))
    chosen = {site.sender.partition_of(name.encode()): name for name in names}
    assert len(chosen) == site.topics.partitions
    number = 1_000_000
    for start_ms in range(START_MS + SPREAD_MS, START_MS + SPREAD_MS + TICKING_MS, TICKING_MS // 10):
        part = []
        for at_ms in range(start_ms, start_ms + TICKING_MS // 10, 5 * HOUR_MS):
            for user_id in chosen.values():
                number += 1
                part.append(event(number, user_id, "visit", at_ms))
        yield part


def assert_fell_silently(outcome: Outcome, users: int, falls_min: int) -> None:
    """Check what holds whatever the specification says: who is silent falls by time, on a whole second."""
    falls = [
        change for changes in outcome.changes.values() for change in changes if change["direction"] == "down"
    ]
    assert len(falls) > falls_min
    assert {fall["cause"] for fall in falls} <= {"time", "event"}
    by_time = [fall for fall in falls if fall["cause"] == "time"]
    assert all(fall["effective_at"].endswith(".000Z") for fall in by_time)
    assert {f"u{number}" for number in range(users)} <= {fall["user_id"] for fall in by_time}


def test_silent_users__fall_while_the_stream_goes_on(new_site: NewSite, topics: Topics) -> None:
    """Other users' events alone carry time on: who is silent falls at the specified second, cause `time`."""
    site = new_site((topics.clickstream,))
    site.sender.send(message._replace(topic="clickstream") for message in crowd(USERS, START_MS, SPREAD_MS))
    with site.worker() as worker:
        site.wait_done(worker)
        for part in ticking(site):
            site.sender.send(part)
            site.wait_done(worker)
        assert_conserved(site.metrics(worker), consumed=site.sent())
    found = site.observed()
    assert_fell_silently(found, USERS, falls_min=2 * USERS)
    assert_same(found, expected_in_parallel(site.policy, site.sender.sent))


def test_silent_users__fall_in_complete_silence(new_site: NewSite, topics: Topics) -> None:
    """When nothing is sent any more the clock carries time on, up to now: what is due later waits."""
    now_ms = time.time_ns() // 1_000_000
    settings = {"watermark": {"out_of_orderness": "5s", "idle_after": "500ms"}}
    site = new_site(topics.input, settings)
    site.sender.send(crowd(USERS, now_ms - 100 * DAY_MS, SPREAD_MS))
    # Nobody of these can fall before hours have passed, so it does not matter when exactly the test ends.
    site.sender.send(crowd(YOUNG_USERS, now_ms - 10 * MINUTE_MS, 5 * MINUTE_MS, first=USERS))
    wanted = expected_in_parallel(site.policy, site.sender.sent, fire_up_to_ms=now_ms)
    falls = sum(change["cause"] == "time" for changes in wanted.changes.values() for change in changes)
    with site.worker() as worker:
        worker.wait_until(lambda: worker.metric("deadlines_fired_total") >= falls)
        site.wait_done(worker)
        assert_conserved(site.metrics(worker), consumed=site.sent())
    found = site.observed()
    assert_fell_silently(found, USERS, falls_min=2 * USERS)
    assert_same(found, wanted)
