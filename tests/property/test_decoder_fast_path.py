"""This file tests that the scanning kernel never disagrees with the checked path."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.decoder import Decoder
from scoring.events import EventBatch
from scoring.policy import Policy
from scoring.text_spans import gathered
from tests.unit.checked_decoder import CheckedDecoder
from tests.unit.policies import shop_policy

NOW_MS = 1_767_225_600_000
COLUMNS = (
    *("fate", "type", "event_time_ms", "event_id_hash", "order_id_hash", "amount_minor", "match"),
    "user_hash",
)
PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80"),
    *(b"0", b"-", b".", b"e5", b"E-2", b"null", b"true", b"false", b"NaN", b"1e400", b"9" * 25, b"00"),
    *(b"\\u0041", b"\\ud83d\\ude00", b"\\ud800", b"\\udc00", b'\\"', b"\\x", b"\xff", b"\xc0\x80"),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "用".encode(), "😀".encode(), b"+08:00", b"Z", b".5", b"{}"),
    *(b"60", b"1.", b"\xe2\x82"),
]  # fmt: skip
MEMBERS = [
    *(b'"amount":5,', b'"amount":null,', b'"type":"order_paid",', b'"user_id":"",', b'"user_id":"u2",'),
    *(b'"coupon_id":null,', b'"coupon_id":"c2",', b'"order_id":null,', b'"order_id":"",', b'"category":7,'),
    *(b'"x":{"y":[1,{}]},', b'"x":[[]],', b'"x":01,', b'"x":-,', b'"x":-0.5E+7,', b'"x":1.,', b'"x":1e,'),
    *(b'"x":"\\udc00\\udc00",', b'"x":"\\ud83d\\ude00",', b'"x":"\\/\\b",'),
    *(b'"\\u0074ype":"y",', b'"x":"\\v",'),
    *(b'"x":' + b"[" * 40 + b"]" * 40 + b",", b'"x":{1:2},', b'"x":{"y":1,},', b'"x":[1 2],', b'"x":tru,'),
    *(b'"x":[1,],', b'"x":nul,'),
]  # fmt: skip


def assert_same(values: list[bytes | None], policy: Policy) -> None:
    """Decode on both paths and compare every column and detail."""
    offsets, ingest_time_ms = np.arange(len(values)), np.full(len(values), NOW_MS)
    fast, checked = (
        kind(policy, 300_000, 4096).decode(0, 0, values, offsets, ingest_time_ms)
        for kind in (Decoder, CheckedDecoder)
    )
    for name in COLUMNS:
        differing = np.flatnonzero(getattr(fast, name) != getattr(checked, name))
        assert differing.size == 0, (name, values[differing[0]])
    for name in ("users", "event_ids"):
        one, other = (gathered(getattr(batch, name)) for batch in (fast, checked))
        assert (one[0].tobytes(), one[1].tolist()) == (other[0].tobytes(), other[1].tolist()), name
    assert fast.details == checked.details


def good_message(rng: random.Random) -> bytes:
    """Write a message that is an event, in the ways that real senders write one."""
    event: dict[str, object] = {
        "event_id": f"evt-{rng.randrange(10**6)}",
        "user_id": rng.choice(["u1", "用户-7", "a b{}", "é" * 9, "u" * 256]),
        "type": rng.choice(["page_view", "order_paid", "add_to_cart", "order_refunded", "search"]),
        "event_time": rng.choice([NOW_MS, 0, "2026-01-01T00:00:00.123456Z", "2024-02-29T23:59:59+08:00"]),
        "order_id": rng.choice(["o1", "ord-123456789-x"]),
        "amount": rng.choice([0, 12, 12.345, "99.95", "1.005", "0.125000", 1e13]),
    }
    optional: dict[str, list[object]] = {
        "category": ["shoes", "鞋", "", "Schuhe"],
        "channel": ["app", None],
        "scene": ["home\tpage", "x"],
        "coupon_id": ["c1", None],
        "discount_amount": [1, "0.10", 5.0, "5.01"],
        "item_launch_at": ["2025-12-31T00:00:00Z", 1_600_000_000_000, None],
        "extra": [1.5e300, -7, True, {"a": [1, {"b": None}], "": "\\"}, [], "😀\u2028", [[["x"]]]],
        "more_than_fifteen_bytes": ["y"],
    }
    event |= {name: rng.choice(choices) for name, choices in optional.items() if rng.random() < 0.4}
    items = list(event.items())
    rng.shuffle(items)
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
    return json.dumps(dict(items), ensure_ascii=rng.random() < 0.3, separators=separators).encode()


def mutated(message: bytes, rng: random.Random) -> bytes:
    """Damage a message in one to three places."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, until = rng.randrange(len(message) + 1), rng.randrange(len(message) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            message = message[:at] + bytes([rng.randrange(256)]) + message[at + 1 :]
        elif kind == 1:
            message = message[:at] + rng.choice(PIECES) + message[at:]
        elif kind == 2:
            message = message[:at] + rng.choice(PIECES) + message[at + 1 :]
        elif kind == 3:
            message = message[:at] + message[at + rng.randrange(1, 4) :]
        elif kind == 4:
            message = message[:at] + message[min(at, until) : max(at, until)] + message[at:]
        elif kind == 5:
            message = message[: max(at, 1)]
        else:
            key_at = (
                message.find(b'"', message.find(b",", at)) if at < len(message) // 2 else message.find(b'"')
            )
            message = message[:key_at] + rng.choice(MEMBERS) + message[key_at:]
    return message


def test_scan__reads_texts_of_every_length() -> None:
    """Wherever a text ends among the bytes that are looked at together, and whatever ends it."""
    ends = (b"", b'\\"', "é".encode(), b"\x1f", b"\x00", b"\\u0041")
    template = b'{"event_id":"%s","user_id":"u1","type":"page_view","event_time":%d,"item_id":"%s"}'
    texts = [b"e" * size for size in range(1, 140)]
    assert_same([template % (text, NOW_MS, text + end) for text in texts for end in ends], shop_policy())


def test_scan__reads_each_time_whatever_stood_before_it() -> None:
    """The minute of the message before is taken for the same text only, also behind one that is no time."""
    minutes = (
        "2026-01-01T00:00",
        "2026-01-01t00:00",
        "2026-01-01T00:07",
        "2026-02-01T00:00",
        "2026-01-31T24:00",
    )
    rests = (":59Z", ":00.5z", ":00+08:00", ":00.999-00:30", ":60Z", ":1Z", "", "Z", ".5Z")
    times = [minute + rest for minute in minutes for rest in rests]
    rng, template = random.Random(5), b'{"event_id":"e","user_id":"u","type":"page_view","event_time":"%s"}'
    assert_same(
        [template % time.encode() for _ in range(5) for time in rng.sample(times, len(times))], shop_policy()
    )


@pytest.mark.parametrize("seed", range(4))
def test_fast_path__damaged_messages_decode_as_on_the_checked_path(seed: int) -> None:
    """Whatever happens to the bytes of a message, both paths give the same columns or dead letter."""
    rng = random.Random(seed)
    policy = shop_policy(minor_digits=rng.choice([0, 2, 3]))
    good = [good_message(rng) for _ in range(2000)]
    assert_same([*good, None, b"", b"x" * 5000], policy)
    assert_same([mutated(rng.choice(good), rng) for _ in range(10_000)], policy)


def test_fast_path__takes_what_ordinary_senders_write() -> None:
    """Most good messages never reach the checked path; else the comparison above would be empty."""
    rng = random.Random(7)
    values: list[bytes | None] = [good_message(rng) for _ in range(2000)]
    left: list[int] = []

    class CountingDecoder(Decoder):
        def _read_row(self, batch: EventBatch, row: int) -> None:
            left.append(row)

    CountingDecoder(shop_policy(), 300_000).decode(0, 0, values, np.arange(2000), np.full(2000, NOW_MS))
    assert len(left) < 600


json_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
json_values = st.recursive(
    json_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)
times = st.integers(-1000, 2**53) | st.datetimes().map(lambda t: t.isoformat() + "Z") | json_scalars
money = (
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str) | st.floats(0, 1e6) | json_scalars
)
texts = st.text(min_size=1, max_size=9)
types = st.sampled_from(["page_view", "order_paid", "x"])
events = st.fixed_dictionaries(
    {"event_id": texts, "user_id": texts, "type": types, "event_time": times},
    optional={
        **dict.fromkeys(("amount", "discount_amount"), money),
        **dict.fromkeys(("order_id", "category", "channel", "scene", "coupon_id"), texts | json_scalars),
        "item_launch_at": times,
        "unknown": json_values,
    },
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(events, st.booleans(), st.sampled_from([None, 1]))), st.sampled_from([0, 2, 3]))
def test_fast_path__any_json_decodes_as_on_the_checked_path(
    written: list[tuple[dict[str, object], bool, int | None]], minor_digits: int
) -> None:
    """Whatever values the fields have, both paths give the same columns or the same dead letter."""
    values: list[bytes | None] = [
        json.dumps(event, ensure_ascii=ascii_only, indent=indent).encode()
        for event, ascii_only, indent in written
    ]
    assert_same(values, shop_policy(minor_digits))


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"\A-?[0-9]{0,17}(\.[0-9]{0,25})?\Z"), st.booleans(), st.sampled_from([0, 2, 3, 4]))
def test_fast_path__money_is_rounded_alike(digits: str, quoted: bool, minor_digits: int) -> None:
    """Any plain decimal text gives the same minor units on both paths."""
    amount = f'"{digits}"' if quoted else digits
    order = '"event_id":"e","user_id":"u","event_time":1,"type":"order_paid","order_id":"o"'
    assert_same([f'{{{order},"amount":{amount}}}'.encode()], shop_policy(minor_digits))


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"\A(19[67]|20[0-3]|999)[0-9]-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
                     r"(\.[0-9]{0,9})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])\Z"))  # fmt: skip
def test_fast_path__times_are_read_alike(text: str) -> None:
    """Any text that looks like a time means the same on both paths."""
    value = f'{{"event_id":"e","user_id":"u","type":"page_view","event_time":"{text}"}}'
    assert_same([value.encode()], shop_policy())
