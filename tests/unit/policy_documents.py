"""This file holds a policy, as YAML and as a document, and ways to change it, for tests of policy files."""

import copy
from pathlib import Path
from typing import Any

import yaml

from config.policy_file import PolicyError, parse_policy

TEXT = """
policy: retail
version: 3
currency: CNY
timezone: Asia/Shanghai
events:
  page_view: {}
  add_to_cart: {}
  order_paid: {order: true}
  order_refunded: {refund: true}
features:
  activity: {kind: decayed, half_life: 30d, weights: {page_view: 1, order_paid: 20}}
  basket: {kind: decayed, of: amount, half_life: 120d, events: [order_paid]}
  spend: {kind: window, of: amount, events: [order_paid], span: 90d, bucket: 1d}
  orders: {kind: total, events: [order_paid]}
  coupon_orders: {kind: total, events: [order_paid], where: {coupon_id: present}}
  silence: {kind: since, events: [page_view, order_paid]}
  cart_age: {kind: since, events: [add_to_cart], until: [order_paid]}
  days: {kind: active_days, events: [page_view], span: 28d}
  coupon_share: {kind: ratio, over: coupon_orders, under: orders, at_least: 3}
scores:
  value: {combine: sum, parts: {activity: [[0, 0], [50, 20]], spend: [[0, 0], [20000, 60]]}}
  life: {combine: max, parts: {silence: [[0, 100], [14d, 50], [28d, 0]]}}
  deals: {parts: {coupon_share: [[0, 0], [0.5, 80], [1, 20]]}}
ladders:
  tier:
    score: value
    margin: 0.2
    grace: 1d
    min_dwell: 7d
    max_steps_down: 1
    step_period: 30d
    rungs: [{name: bronze}, {name: silver, enter_at: 20}, {name: gold, enter_at: 50, keep_at: 45}]
tags:
  deal_seeker: {score: deals, enter_at: 50, margin: 0.2}
"""
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)


def changed(**at: Any) -> dict[str, Any]:
    """Answer the document with values laid at paths such as ladders__tier__grace; ... takes a key away."""
    document = copy.deepcopy(DOCUMENT)
    for path, value in at.items():
        *groups, last = path.split("__")
        here: Any = document
        for group in groups:
            here = here[int(group) if isinstance(here, list) else group]
        if value is ...:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value
    return document


def problems_of(document: dict[str, Any]) -> list[str]:
    """Answer the problems of a document as lines, none for a policy that is fine."""
    try:
        parse_policy(document, "test")
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return []


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path
