"""This file builds policies for unit tests without reading a file."""

from __future__ import annotations

from scoring.policy import EventType, Feature, Ladder, Part, Policy, Rung, Score, Where

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

SHOP_FEATURES = (
    Feature(
        "activity",
        "decayed",
        events=("page_view", "order_paid"),
        weights=(1.0, 20.0),
        half_life_ms=30 * DAY_MS,
    ),
    Feature("spend", "total", of="amount", events=("order_paid",)),
    Feature("orders", "total", events=("order_paid",)),
    Feature("coupon_orders", "total", events=("order_paid",), where=(Where("coupon_id", "present"),)),
    Feature("coupon_share", "ratio", over="coupon_orders", under="orders", at_least=3),
    Feature("bare", "total", events=("order_paid", "page_view"), where=(Where("coupon_id", "absent"),)),
    Feature(
        "shoes", "total", events=("page_view",), where=(Where("category", "in", ("shoes", "Schuhe", "鞋")),)
    ),
    Feature(
        "app",
        "total",
        events=("page_view",),
        where=(Where("channel", "in", ("app",)), Where("scene", "present")),
    ),
    Feature("big", "total", events=("order_paid",), where=(Where("amount", "between", minimum=99.95),)),
    Feature("cheap", "total", events=("order_paid",), where=(Where("amount", "between", maximum=10.0),)),
    Feature(
        "mid", "total", events=("order_paid",), where=(Where("discount_amount", "between", (), 0.1, 5.0),)
    ),
    Feature(
        "fresh", "total", events=("page_view",), where=(Where("item_age", "between", (), 0.0, 2_592_000.0),)
    ),
    Feature("launched", "total", events=("page_view",), where=(Where("item_launch_at", "present"),)),
    Feature("priced", "total", events=("order_paid",), where=(Where("amount", "in", (0.0, 19.9)),)),
    Feature("ordered", "total", events=("page_view",), where=(Where("order_id", "in", ("o1", "o2")),)),
    Feature(
        "ancient",
        "total",
        events=("page_view",),
        where=(Where("item_launch_at", "between", (), None, 1000.0),),
    ),
    Feature("cart_age", "since", events=("add_to_cart",), until=("order_paid",)),
)


def shop_policy(minor_digits: int = 2, features: tuple[Feature, ...] = SHOP_FEATURES) -> Policy:
    """Build a small shop's policy with every kind of `where`."""
    rungs = (Rung("bronze", float("-inf"), float("-inf")), Rung("silver", 20.0, 16.0))
    return Policy(
        name="shop",
        version=1,
        currency="CNY",
        minor_digits=minor_digits,
        timezone="Asia/Shanghai",
        events=(
            EventType("page_view"),
            EventType("add_to_cart"),
            EventType("order_paid", order=True),
            EventType("order_refunded", refund=True),
        ),
        features=features,
        scores=(Score("value", "sum", (Part("activity", ((0.0, 0.0), (50.0, 20.0))),)),),
        ladders=(Ladder("tier", "value", rungs),),
    )
