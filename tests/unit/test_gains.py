"""This file holds the most points that an event can add to a score to what curves and weights say."""

import math

import pytest
import yaml

from config.policy_file import parse_policy
from scoring.gains import gains_of

POLICY = """
policy: gains
version: 1
currency: CNY
timezone: Asia/Shanghai
events: {view: {}, cart: {}, order: {order: true}}
features:
  activity: {kind: decayed, half_life: 30d, weights: {view: 1, cart: 5}}
  spending: {kind: decayed, of: amount, half_life: 30d, weights: {order: 2}}
  orders: {kind: window, of: count, events: [order], span: 90d, bucket: 1d}
  silence: {kind: since, events: [view, order]}
scores:
  value:
    combine: sum
    parts: {activity: [[0, 0], [10, 5], [20, 30]], spending: [[0, 0], [100, 50]], orders: [[0, 0], [4, 8]]}
  best:
    combine: max
    parts: {silence: [[0, 40], [60, -10]], orders: [[0, 0], [4, 8]], spending: [[0, 0], [100, 50]]}
ladders:
  tier: {score: value, rungs: [{name: low}, {name: high, enter_at: 20}]}
  stage: {score: best, rungs: [{name: low}, {name: high, enter_at: 20}]}
"""


def test_a_sum_adds_what_each_feature_gains_by_the_steepest_slope_and_a_maximum_the_largest_of_them() -> None:
    view, cart, order = gains_of(parse_policy(yaml.safe_load(POLICY), "test")).tolist()
    assert view[0] == [2.5, 0.0, math.inf]
    assert cart[0] == [12.5, 0.0, math.inf]
    assert order[0] == [2.0, pytest.approx(0.5 * 2 / 100), math.inf]
    assert view[1] == [50.0, 0.0, 40.0]
    assert cart[1] == [0.0, 0.0, -math.inf]
    assert order[1] == [50.0, pytest.approx(0.5 * 2 / 100), 50.0]
