"""This file holds the cases in which the kernel does not look at a ladder against the specification, which always does.

Buckets leave ratios, falls are delayed, and events come just before and just after: rare among streams of any kind.
"""

import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy_file import parse_policy
from tests.property.shard_driver import SLOW
from tests.property.test_shard_equals_reference import Worker, assert_equal, specified
from tests.strategies import Stream

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
START_MS = 1_788_220_800_000  # 2026-09-01T00:00:00Z
LIMITS = {
    "allowed_lateness_ms": DAY_MS,
    "duplicates_per_user": 64,
    "out_of_orderness_ms": 0,
}

POLICY = """
policy: edges
version: 1
currency: EUR
timezone: Europe/Berlin
events: {visit: {}, old: {}, new: {}, spark: {}}
features:
  news: {kind: window, events: [new], span: 6h, bucket: 1h}
  picks: {kind: window, events: [new, old], span: 2h, bucket: 30m}
  share: {kind: ratio, over: news, under: picks, at_least: 1}
  warmth: {kind: decayed, half_life: 2h, weights: {visit: 0.3, spark: 20}}
  glow: {kind: decayed, half_life: 6h, weights: {spark: 10}}
scores:
  taste: {parts: {share: [[0, 0], [2, 100]]}}
  mood: {parts: {warmth: [[0, 0], [100, 100]], glow: [[0, 0], [100, 50]]}}
  peak: {combine: max, parts: {warmth: [[0, 0], [100, 50]], glow: [[0, 0], [20, 18], [100, 80]]}}
ladders:
  picky: {score: taste, margin: 0.1, rungs: [{name: low}, {name: middle, enter_at: 30}, {name: high, enter_at: 70}]}
  patient:
    score: taste
    margin: 0.1
    grace: 45m
    rungs: [{name: low}, {name: middle, enter_at: 30}, {name: high, enter_at: 70}]
  mood: {score: mood, margin: 0.2, rungs: [{name: cold}, {name: warm, enter_at: 15}, {name: hot, enter_at: 40}]}
  peak: {score: peak, margin: 0.2, rungs: [{name: cold}, {name: warm, enter_at: 15}, {name: hot, enter_at: 40}]}
  slow:
    score: mood
    margin: 0.2
    grace: 3h
    rungs: [{name: cold}, {name: warm, enter_at: 15}, {name: hot, enter_at: 40}]
  steps:
    score: mood
    margin: 0.4
    min_dwell: 5h
    max_steps_down: 1
    step_period: 4h
    rungs: [{name: cold}, {name: warm, enter_at: 15}, {name: hot, enter_at: 40}]
"""
EDGES = parse_policy(yaml.safe_load(POLICY), "test")

PAUSES_MS = (1, 400, SECOND_MS, MINUTE_MS, 17 * MINUTE_MS, 31 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 5 * HOUR_MS)


@st.composite
def edgy_streams(draw: st.DrawFn) -> Stream:
    """Draw the events of one user, in order, one pause after the other."""
    steps = st.tuples(st.sampled_from(PAUSES_MS), st.sampled_from(["visit", "old", "new", "spark"]))
    at_ms, messages = START_MS, []
    for number, (pause_ms, kind) in enumerate(draw(st.lists(steps, min_size=6, max_size=40))):
        at_ms += pause_ms
        event = {"event_id": f"e{number}", "user_id": "u1", "type": kind, "event_time": at_ms}
        messages.append((number, json.dumps(event).encode(), at_ms))
    return Stream(topics=(messages, []), silent_until_ms=at_ms + draw(st.sampled_from([0, HOUR_MS, DAY_MS])))


@settings(max_examples=600, deadline=None, suppress_health_check=SLOW)
@given(edgy_streams(), st.sampled_from([1, 3, 30]), st.booleans())
def test_shard__looks_where_something_may_have_moved(stream: Stream, count: int, sweeps: bool) -> None:
    """Whether or not deadlines are worked off in between, each rise and fall comes when the specification says."""
    worker = Worker(EDGES, LIMITS, stream)
    while worker.left[0]:
        worker.read(0, count)
        if sweeps and worker.shard.watermark_ms is not None:
            worker.shard.fire(worker.shard.watermark_ms)
    worker.finish()
    assert worker.shard.counters.applied == len(stream.topics[0])
    assert_equal(worker, specified(EDGES, LIMITS, stream))
