"""The reference's features against values computed by hand. This file keeps it honest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference_features import day_start_ms
from tests.shop import DAY, HOUR, LINE, MINUTE, SECOND, T0, VIEWS, Shop, policy_of


def test_reference__a_half_life_halves_and_a_tie_is_kept() -> None:
    """A score that is exactly on keep_at still reaches it; the fall is one second later."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("view", T0)
    assert shop.value("views", T0 + HOUR) == 20.0
    assert shop.falls_at == HOUR + SECOND


def test_reference__a_late_event_counts_from_its_own_time() -> None:
    """A decayed sum does not depend on the order of arrival."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("view", T0 + HOUR)
    shop.tell("view", T0)
    assert shop.value("views", T0 + HOUR) == 60.0


def test_reference__a_bucket_leaves_one_span_after_its_end() -> None:
    """An event at 10:30 in an hourly bucket is gone at 11:00 sharp, a span later."""
    window = {"kind": "window", "events": ["view"], "span": "24h", "bucket": "1h"}
    shop = Shop(policy_of({"views_24h": window}, {"views_24h": LINE}, rungs=(1,)))
    shop.tell("view", T0 + 10 * HOUR + 30 * MINUTE + 500)
    leaves_ms = T0 + DAY + 11 * HOUR
    assert (shop.value("views_24h", leaves_ms - 1), shop.value("views_24h", leaves_ms)) == (1.0, 0.0)
    assert shop.falls_at == leaves_ms - T0


def test_reference__day_buckets_follow_the_time_zone() -> None:
    """A day in Shanghai ends at 16:00 UTC."""
    window = {"kind": "window", "events": ["view"], "span": "1d", "bucket": "1d"}
    shop = Shop(policy_of({"views_1d": window}, {"views_1d": LINE}, timezone="Asia/Shanghai"))
    midnight_ms = T0 + 16 * HOUR
    shop.tell("view", midnight_ms - 1)
    shop.tell("view", midnight_ms)
    assert shop.value("views_1d", midnight_ms + DAY - 1) == 2.0
    assert shop.value("views_1d", midnight_ms + DAY) == 1.0
    assert shop.value("views_1d", midnight_ms + 2 * DAY) == 0.0


def test_reference__active_days_count_local_days_today_included() -> None:
    """Two events around a Shanghai midnight are two days, and each leaves at a midnight."""
    days = {"kind": "active_days", "events": ["view"], "span": "2d"}
    shop = Shop(policy_of({"days": days}, {"days": LINE}, timezone="Asia/Shanghai"))
    midnight_ms = T0 + 16 * HOUR
    shop.tell("view", midnight_ms - 1)
    shop.tell("view", midnight_ms)
    shop.tell("view", midnight_ms + HOUR)
    assert shop.value("days", midnight_ms + DAY - 1) == 2.0
    assert shop.value("days", midnight_ms + DAY) == 1.0
    assert shop.value("days", midnight_ms + 2 * DAY) == 0.0


def test_reference__a_day_starts_where_clocks_skip_midnight() -> None:
    """Where a day begins at 01:00, it begins at the instant the clocks were moved."""
    cairo_day = 20567  # 2026-04-24, whose first hour Egypt skips.
    assert day_start_ms("Africa/Cairo", cairo_day) == cairo_day * DAY - 2 * HOUR
    assert day_start_ms("Africa/Cairo", cairo_day + 1) == (cairo_day + 1) * DAY - 3 * HOUR
    assert day_start_ms("America/New_York", 20521) - day_start_ms("America/New_York", 20520) == 23 * HOUR


def test_reference__since_is_undefined_while_an_until_is_newer() -> None:
    """An `until` at the same instant is not newer, and one that was undone never happened."""
    cart = {"kind": "since", "events": ["view"], "until": ["buy"]}
    shop = Shop(policy_of({"cart": cart}, {"cart": [[0, 50], [3600, 0]]}))
    shop.tell("buy", T0)
    assert shop.value("cart", T0) is None
    shop.tell("view", T0)
    assert shop.value("cart", T0 + 1500) == 1.5
    shop.tell("buy", T0 + SECOND, order_id="o9")
    assert shop.value("cart", T0 + SECOND) is None
    shop.tell("refund", T0 + MINUTE, order_id="o9")
    assert shop.value("cart", T0 + MINUTE) == 60.0


def test_reference__since_first_is_the_age_of_the_oldest() -> None:
    """A late event may become the oldest."""
    age = {"kind": "since", "events": ["view"], "first": True}
    shop = Shop(policy_of({"age": age}, {"age": [[0, 50]]}))
    shop.tell("view", T0 + HOUR)
    shop.tell("view", T0)
    assert shop.value("age", T0 + HOUR) == 3600.0


def test_reference__a_ratio_is_undefined_until_under_is_large_enough() -> None:
    """An undefined feature gives no points and has no value in `why`."""
    features = {
        "buys": {"kind": "total", "events": ["buy"]},
        "coupon_buys": {"kind": "total", "events": ["buy"], "where": {"coupon_id": "present"}},
        "share": {"kind": "ratio", "over": "coupon_buys", "under": "buys", "at_least": 2},
        "views": VIEWS,
    }
    shop = Shop(policy_of(features, {"share": [[0, 0], [1, 30]], "views": LINE}))
    shop.tell("buy", T0, coupon_id="c")
    shop.tell("view", T0)
    assert shop.reference.changes[0]["why"] == [
        {"feature": "share", "points": 0.0},
        {"feature": "views", "value": 40.0, "points": 40.0},
    ]
    shop.tell("buy", T0)
    assert shop.value("share", T0) == 0.5


@pytest.mark.parametrize(
    ("where", "counted"),
    [
        ({"amount": {"min": 10}}, 2),
        ({"amount": {"max": 10}}, 2),
        ({"amount": 10}, 1),
        ({"channel": ["app", "web"]}, 2),
        ({"channel": "absent"}, 1),
        ({"item_age": {"max": "1h"}}, 1),
        ({"item_age": {"min": 0, "max": "2h"}, "channel": "web"}, 1),
    ],
)
def test_reference__conditions_must_all_hold(where: dict[str, Any], counted: int) -> None:
    """Both ends of a range are included; a missing field satisfies only `absent`."""
    shop = Shop(policy_of({"buys": {"kind": "total", "events": ["buy"], "where": where}}, {"buys": LINE}))
    shop.tell("buy", T0, amount=10, channel="app", item_launch_at=T0 - HOUR)
    shop.tell("buy", T0, amount=9.99, channel="web", item_launch_at=T0 - 2 * HOUR)
    shop.tell("buy", T0, amount="10.01", item_launch_at=None)
    assert shop.value("buys", T0) == counted
