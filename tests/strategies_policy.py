"""Random small policies of every kind of feature, curve and ladder. This file is for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from config.policy_file import parse_policy
from scoring.policy import Policy

Draw = Callable[..., Any]

EVENT_TYPES: dict[str, dict[str, bool]] = {
    "view": {},
    "cart": {},
    "tip": {},  # No order, yet it may carry an amount.
    "buy": {"order": True},
    "subscribe": {"order": True},
    "refund": {"refund": True},
    "return": {"refund": True},
}
COUNTED = ["view", "cart", "tip", "buy", "subscribe", "refund"]
WITH_AMOUNT = ["tip", "buy", "subscribe"]
TIMEZONES = [
    "UTC",
    "Asia/Shanghai",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Cairo",
]
CONDITIONS: list[dict[str, Any]] = [
    {"coupon_id": "present"},
    {"coupon_id": "absent"},
    {"channel": "app"},
    {"channel": ["app", "wéb"], "scene": "absent"},
    {"category": ["shoes"]},
    {"item_id": "present"},
    {"amount": {"min": 10}},
    {"amount": {"min": 0.01, "max": 19.99}},
    {"discount_amount": {"max": 5}},
    {"amount": [0, 19.99, 100]},
    {"order_id": "absent"},
    {"item_launch_at": "present"},
    {"item_launch_at": {"min": "2026-03-15T08:00:00+08:00"}},
    {"item_age": ["0s", 3600, "7d"]},
    {"item_age": {"max": "7d"}},
    {"item_age": {"min": 0, "max": 3600}},
]


def policies() -> st.SearchStrategy[Policy]:
    """Draw policies that cover every kind of feature, curve and ladder."""
    return policy_documents().map(lambda document: parse_policy(document, "drawn"))


@st.composite
def policy_documents(draw: Draw, version: int = 1) -> dict[str, Any]:
    """Draw policies as the YAML they would be written in."""
    features = draw(feature_documents())
    names = ["value", "mood", "deals"][: draw(st.integers(1, 3))]
    scores = {name: draw(score_documents(features)) for name in names}
    ladders = {name: draw(ladder_documents(names)) for name in ["tier", "stage"][: draw(st.integers(1, 2))]}
    tags = {name: draw(tag_documents(names)) for name in ["zeal", "active"][: draw(st.integers(0, 2))]}
    document = {
        "policy": "drawn",
        "version": version,
        "currency": draw(st.sampled_from(["CNY", "JPY", "KWD"])),
        "timezone": draw(st.sampled_from(TIMEZONES)),
        "events": EVENT_TYPES,
        "features": features,
        "scores": scores,
        "ladders": ladders,
        "tags": tags,
    }
    if draw(st.integers(0, 3)) == 3:
        document["order_memory"] = draw(st.sampled_from(["1d", "10d"]))
        document["orders_per_user"] = draw(st.sampled_from([1, 2, 64]))
    return document


@st.composite
def feature_documents(draw: Draw) -> dict[str, Any]:
    """Draw one to five features of any kind; a ratio brings the two it divides along."""
    features: dict[str, Any] = {}
    kinds = draw(st.lists(st.sampled_from(list(FEATURES)), min_size=1, max_size=5))
    for index, kind in enumerate(kinds):
        if kind == "ratio":
            under = draw(st.sampled_from(["window", "active_days", "total"]))
            features[f"under_{index}"] = draw(FEATURES[under]())
            features[f"over_{index}"] = features[f"under_{index}"] | {
                "where": draw(st.sampled_from(CONDITIONS))
            }
            features[f"ratio_{index}"] = {
                "kind": "ratio",
                "over": f"over_{index}",
                "under": f"under_{index}",
                "at_least": draw(st.sampled_from([1, 2, 3, 0.5])),
            }
        else:
            features[f"{kind}_{index}"] = draw(FEATURES[kind]())
    return features


@st.composite
def counting(draw: Draw, kind: str, **fields: Any) -> dict[str, Any]:
    """Draw which events a feature counts, and what of them."""
    of = draw(st.sampled_from(["count", "amount"])) if kind in ("window", "total") else None
    types = WITH_AMOUNT if of == "amount" else COUNTED
    events = draw(st.lists(st.sampled_from(types), min_size=1, max_size=3, unique=True))
    document = {"kind": kind, "events": events} | ({} if of is None else {"of": of})
    for name, strategy in fields.items():
        document[name] = draw(strategy)
    if draw(st.integers(0, 3)) == 0:
        document["where"] = draw(st.sampled_from(CONDITIONS))
    return document


@st.composite
def decayed(draw: Draw) -> dict[str, Any]:
    """Draw a decayed count or amount."""
    of = draw(st.sampled_from(["count", "amount"]))
    types = WITH_AMOUNT if of == "amount" else COUNTED
    weights = draw(
        st.dictionaries(st.sampled_from(types), st.sampled_from([0, 0.5, 1, 5, 20]), min_size=1, max_size=4)
    )
    half_life = draw(st.sampled_from(["1h", "1d", "7d", "30d"]))
    document = {"kind": "decayed", "of": of, "half_life": half_life, "weights": weights}
    if draw(st.integers(0, 3)) == 0:
        document["where"] = draw(st.sampled_from(CONDITIONS))
    return document


@st.composite
def window(draw: Draw) -> dict[str, Any]:
    """Draw a window with buckets of UTC time or of local days."""
    span, bucket = draw(
        st.sampled_from(
            [
                ("60s", "1s"),
                ("1h", "7m"),
                ("24h", "1h"),
                ("36h", "24h"),
                ("7d", "1d"),
                ("90d", "1d"),
                ("30d", "3d"),
            ]
        )
    )
    return draw(counting("window")) | {"span": span, "bucket": bucket}


@st.composite
def since(draw: Draw) -> dict[str, Any]:
    """Draw an age of the newest or the oldest event, perhaps ended by others."""
    document = draw(counting("since"))
    if draw(st.booleans()):
        document["until"] = draw(st.lists(st.sampled_from(COUNTED), min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        document["first"] = True
    return document


FEATURES: dict[str, Callable[[], st.SearchStrategy[dict[str, Any]]]] = {
    "decayed": decayed,
    "window": window,
    "total": lambda: counting("total"),
    "since": since,
    "active_days": lambda: counting("active_days", span=st.sampled_from(["1d", "2d", "7d", "64d"])),
    "ratio": lambda: st.nothing(),
}


@st.composite
def curves(draw: Draw, feature: dict[str, Any]) -> list[list[float]]:
    """Draw a curve that moves the way its feature allows."""
    scales: dict[str, list[float]] = {
        "since": [0, 60, 3600, 86_400, 864_000],
        "ratio": [0, 0.25, 0.5, 1],
        "active_days": [0, 1, 2, 7],
    }
    counts: list[float] = [0, 1, 2, 5, 10, 40]
    amounts: list[float] = [0, 10, 20, 100, 1000]
    scale = scales.get(feature["kind"], amounts if feature.get("of") == "amount" else counts)
    x = sorted(draw(st.lists(st.sampled_from(scale), min_size=1, max_size=4, unique=True)))
    points = st.sampled_from([0, 1, 5, 10, 20, 30.5, 50, 80])
    y = draw(st.lists(points, min_size=len(x), max_size=len(x)))
    if feature["kind"] == "since":
        y.sort(reverse=True)
    elif feature["kind"] != "ratio":
        y.sort()
    return [list(point) for point in zip(x, y, strict=True)]


@st.composite
def score_documents(draw: Draw, features: dict[str, Any]) -> dict[str, Any]:
    """Draw a score over some of the features."""
    names = draw(st.lists(st.sampled_from(list(features)), min_size=1, max_size=4, unique=True))
    parts = {name: draw(curves(features[name])) for name in names}
    return {"combine": draw(st.sampled_from(["sum", "sum", "max"])), "parts": parts}


@st.composite
def limits_down(draw: Draw) -> dict[str, Any]:
    """Draw what keeps a rung a while: often nothing but a margin."""
    limits: dict[str, Any] = {"margin": draw(st.sampled_from([0, 0.2, 0.5, 1]))}
    if draw(st.booleans()):
        limits["grace"] = draw(st.sampled_from(["0d", "1500ms", "90m", "1d", "10d"]))
        limits["min_dwell"] = draw(st.sampled_from(["0d", "1h", "7d"]))
    return limits


@st.composite
def ladder_documents(draw: Draw, scores: list[str]) -> dict[str, Any]:
    """Draw a ladder of two to five rungs."""
    thresholds = st.sampled_from([1, 2.5, 5, 10, 15, 20, 30, 40, 60])
    enter_at = sorted(draw(st.lists(thresholds, min_size=1, max_size=4, unique=True)))
    rungs: list[dict[str, Any]] = [{"name": "r0"}]
    rungs += [{"name": f"r{index}", "enter_at": value} for index, value in enumerate(enter_at, start=1)]
    ladder = draw(limits_down()) | {"score": draw(st.sampled_from(scores)), "rungs": rungs}
    if (steps := draw(st.sampled_from([None, None, 0, 1, 2]))) is not None:
        ladder["max_steps_down"] = steps
        ladder["step_period"] = draw(st.sampled_from(["1ms", "1s", "1h", "30d"]))
    return ladder


@st.composite
def tag_documents(draw: Draw, scores: list[str]) -> dict[str, Any]:
    """Draw a tag."""
    enter_at = draw(st.sampled_from([1, 5, 10, 20, 50]))
    return draw(limits_down()) | {"score": draw(st.sampled_from(scores)), "enter_at": enter_at}
