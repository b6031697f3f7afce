"""Random streams that try every corner of the contract. This file feeds property tests.

Numbers are drawn from short lists of round values on purpose: ties (a score exactly on a threshold, an event
exactly at the end of a bucket, a deadline exactly at an event) are where implementations differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from tests.strategies_policy import policies, policy_documents

__all__ = ["Stream", "cuts", "policies", "policy_documents", "shard_limits", "streams"]

Draw = Callable[..., Any]
Message = tuple[int, bytes | None, int]  # offset, value, ingest_time_ms

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
START_MS = 1_772_323_200_000  # 2026-03-01T00:00:00Z: clocks change in March and April, also at midnight.


@dataclass(frozen=True)
class Stream:
    """Messages of each topic in offset order, and a watermark to sweep to when all are read."""

    topics: tuple[tuple[Message, ...], ...]
    silent_until_ms: int


def shard_limits() -> st.SearchStrategy[dict[str, int]]:
    """Draw the settings of a shard, by the names Reference takes."""
    return st.fixed_dictionaries(
        {
            "allowed_lateness_ms": st.sampled_from([3 * DAY_MS, 3 * DAY_MS, HOUR_MS, 0]),
            "out_of_orderness_ms": st.sampled_from([0, 5 * SECOND_MS, DAY_MS]),
            "duplicates_per_user": st.sampled_from([1024, 1024, 2]),
        }
    )


USER_IDS = ["u1", "u2", 'ü"3\\']
SENT_TYPES_BEFORE_ORDERS = ["view", "cart", "tip", "buy", "buy", "subscribe", "other"]
SENT_TYPES = [*SENT_TYPES_BEFORE_ORDERS, "view", "refund", "refund", "refund", "return"]
GAPS_MS = [
    0, 1, 500, SECOND_MS, 59 * SECOND_MS, MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, DAY_MS - 1, 7 * DAY_MS,
    30 * DAY_MS, 200 * DAY_MS,
]  # fmt: skip
BEHIND_MS = [0] * 12 + [1, SECOND_MS, HOUR_MS, 2 * DAY_MS, 3 * DAY_MS, 3 * DAY_MS + 1]
AMOUNTS: list[Any] = [
    0, 0.01, 5, 9.995, "10", 10.0, "12.345", 19.99, 20, "1e2", 100.005, 1000, "999999.99"
]  # fmt: skip
RUBBISH: list[bytes | None] = [
    None,
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'"text"',
    b"NaN",
    b"\xef\xbb\xbf{}",
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":NaN}',
    b'{"event_id":"r","user_id":"\\ud800","type":"view","event_time":1772323200000}',
    b'{"event_id":"r","user_id":"u1","type":"view"}',
    b'{"event_id":1,"user_id":"u1","type":"view"}',
    b'{"event_id":"r","user_id":null,"type":"view","event_time":1772323200000}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":true}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":1772323200000.5}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":"2026-03-01T00:00:00"}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":"2026-02-30T00:00:00Z"}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":-1}',
    b'{"event_id":"r","user_id":"u1","type":"view","event_time":253402300800000}',
    b'{"event_id":"","user_id":"u1","type":"view","event_time":1772323200000}',
    b'{"event_id":"r","user_id":"","type":"view","event_time":1772323200000}',
    b'{"event_id":"r","user_id":"' + b"u" * 257 + b'","type":"view","event_time":1772323200000}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"o"}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"amount":1}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":7,"amount":1}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"o","amount":null}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"o","amount":"a"}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"o","amount":-1}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"","amount":1}',
    b'{"event_id":"r","user_id":"u1","type":"buy","event_time":1772323200000,"order_id":"o","amount":1e30}',
    b'{"pad":"' + b"x" * 66_000 + b'"}',
]


@st.composite
def streams(draw: Draw, topics: int = 2, events_max: int = 30) -> Stream:
    """
    Draw one shard's messages: a few users over seconds to years, with all that goes wrong.

    Orders and refunds go to the last topic, anything else to the first.
    """
    read: list[list[Message]] = [[] for _ in range(topics)]
    sent: list[dict[str, Any]] = []
    now_ms = START_MS + draw(st.integers(0, 40 * DAY_MS))
    for number in range(draw(st.sampled_from([1, 3, 10, 20, events_max]))):
        now_ms += draw(st.sampled_from(GAPS_MS))
        if draw(st.integers(0, 9)) == 0:
            now_ms += draw(st.integers(0, DAY_MS))
        if draw(st.integers(0, 4)) == 0:  # Whole seconds are where deadlines are.
            now_ms -= now_ms % SECOND_MS
        topic, ingest_time_ms = 0, now_ms
        if draw(st.integers(0, 19)) == 19:
            value = draw(st.sampled_from(RUBBISH))
        else:
            event = draw(events(number, now_ms, sent))
            sent.append(event)
            value = to_json(event)
            topic = topics - 1 if "order_id" in event else 0
            ingest_time_ms -= draw(st.sampled_from([0] * 18 + [300_000, 300_001]))
        last_offset = read[topic][-1][0] if read[topic] else -1
        read[topic].append((last_offset + draw(st.sampled_from([1, 1, 1, 5])), value, ingest_time_ms))
    silent_until_ms = now_ms + draw(st.sampled_from([0, DAY_MS, 45 * DAY_MS, 400 * DAY_MS]))
    return Stream(tuple(tuple(messages) for messages in read), silent_until_ms)


@st.composite
def events(draw: Draw, number: int, now_ms: int, sent: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw one well-formed event around a time; ids repeat now and then, also across users."""
    time_ms = max(0, now_ms - draw(st.sampled_from(BEHIND_MS)))
    orders = [earlier for earlier in sent if earlier["type"] in ("buy", "subscribe")]
    types = SENT_TYPES if orders or draw(st.integers(0, 4)) == 4 else SENT_TYPES_BEFORE_ORDERS
    event: dict[str, Any] = {
        "event_id": f"e{number}",
        "user_id": draw(st.sampled_from(USER_IDS)),
        "type": draw(st.sampled_from(types)),
        "event_time": draw(times(time_ms)),
    }
    if event["type"] in ("buy", "subscribe", "refund", "return"):
        event["order_id"] = f"o{number}"
        event["amount"] = draw(st.sampled_from(AMOUNTS))
    elif event["type"] == "tip" and draw(st.booleans()):
        event["amount"] = draw(st.sampled_from(AMOUNTS))
    if draw(st.booleans()):
        event |= draw(optional_fields(time_ms))
    if sent and draw(st.integers(0, 14)) == 14:
        event["event_id"] = draw(st.sampled_from(sent))["event_id"]
    if "order_id" in event and orders:
        event |= draw(reference_to_order(event, draw(st.sampled_from(orders))))
    return event


@st.composite
def reference_to_order(draw: Draw, event: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    """Draw what an order or refund says of an earlier order: most refunds name one, few orders do."""
    is_refund = event["type"] in ("refund", "return")
    if draw(st.integers(0, 9)) >= (8 if is_refund else 1):
        return {}
    named = {"order_id": order["order_id"], "user_id": order["user_id"]}
    if is_refund and draw(st.booleans()):
        return named | {"amount": order["amount"]}
    return named


@st.composite
def times(draw: Draw, time_ms: int) -> int | float | str:
    """Write an instant in one of the accepted ways."""
    form = draw(st.sampled_from(["ms", "ms", "float", "utc", "offset"]))
    if form == "ms":
        return time_ms
    if form == "float":
        return float(time_ms)
    zone = UTC if form == "utc" else timezone(timedelta(minutes=draw(st.sampled_from([-570, 0, 345, 480]))))
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).astimezone(zone)
    text = local.isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if form == "utc" else text


@st.composite
def optional_fields(draw: Draw, time_ms: int) -> dict[str, Any]:
    """Draw fields that conditions look at, some null, some unknown."""
    launched_ms = max(0, time_ms - draw(st.sampled_from([-HOUR_MS, 0, HOUR_MS, 7 * DAY_MS, 7 * DAY_MS + 1])))
    choices: dict[str, list[Any]] = {
        "coupon_id": ["c1", "", None],
        "channel": ["app", "wéb", "pos"],
        "category": ["shoes", "hats"],
        "scene": ["home", None],
        "item_id": ["i1", "i2"],
        "discount_amount": [0, "5", 5.01, None],
        "item_launch_at": [launched_ms, None],
        "nested": [{"amount": [1, {"type": "view"}]}],
    }
    names = draw(st.lists(st.sampled_from(list(choices)), max_size=5, unique=True))
    return {name: draw(st.sampled_from(choices[name])) for name in names}


def to_json(event: dict[str, Any]) -> bytes:
    """Write an event as its sender would."""
    return json.dumps(event, ensure_ascii=len(event) % 2 == 0).encode()


def cuts(total: int) -> st.SearchStrategy[list[int]]:
    """Draw where to cut a sequence into batches, as rising indices that end with `total`."""
    return st.lists(st.integers(0, total), max_size=6).map(lambda places: [*sorted(places), total])
