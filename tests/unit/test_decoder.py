"""This file tests what every kind of message decodes to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from scoring.decoder import Decoder
from scoring.events import EventBatch, Reason
from scoring.hashing import hash_spans
from scoring.text_spans import gathered
from tests.unit.policies import shop_policy

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TOLERANCE_MS = 300_000
HASHES = [-7160610219483255062, -2323493894583790164, -4924284368082294842, 8878640281481852795]
VIEW: dict[str, Any] = {"event_id": "e1", "user_id": "u1", "type": "page_view", "event_time": NOW_MS}
ORDER: dict[str, Any] = VIEW | {"type": "order_paid", "order_id": "o1", "amount": "12.34"}


def decode(*values: bytes | None, minor_digits: int = 2) -> EventBatch:
    """Decode messages at NOW_MS under the shop's policy."""
    count = len(values)
    decoder = Decoder(shop_policy(minor_digits), TOLERANCE_MS)
    return decoder.decode(3, 1, list(values), np.arange(count), np.full(count, NOW_MS))


def message(base: dict[str, Any], **changed: Any) -> bytes:
    """Encode an event with fields replaced; ... removes one."""
    return json.dumps(
        {k: v for k, v in (base | changed).items() if v is not ...}, ensure_ascii=False
    ).encode()


def raw(base: dict[str, Any], field: str, literal: str | bytes) -> bytes:
    """Encode an event with one field written exactly as given."""
    literal = literal.encode() if isinstance(literal, str) else literal
    return message(base, **{field: "@"}).replace(b'"@"', literal)


def fate_of(value: bytes | None) -> str:
    """Give the reason of one message, "" when it decodes."""
    fate = int(decode(value).fate[0])
    return Reason(fate).label if fate else ""


def matched(value: bytes) -> set[str]:
    """Name the features that count one message."""
    mask = int(decode(value).match[0])
    return {feature.name for number, feature in enumerate(shop_policy().features) if mask >> number & 1}


def hash_of(text: str) -> int:
    """Hash one id."""
    source = text.encode()
    return int(hash_spans(np.frombuffer(source, np.uint8), np.array([0]), np.array([len(source)]))[0])


def test_decoder__a_good_order_fills_every_column() -> None:
    """An order carries time, money, type, user and the hashes of its ids."""
    batch = decode(message(ORDER))
    assert (batch.partition, batch.topic, len(batch)) == (3, 1, 1)
    assert (batch.fate[0], batch.type[0], batch.event_time_ms[0], batch.amount_minor[0]) == (
        0,
        2,
        NOW_MS,
        1234,
    )
    assert batch.user(0) == b"u1"
    assert (batch.event_id_hash[0], batch.order_id_hash[0]) == (hash_of("e1"), hash_of("o1"))
    assert batch.details == {}


def test_decoder__an_empty_batch_is_a_batch() -> None:
    """No messages give columns of no rows."""
    assert len(decode()) == 0
    assert decode().users.size.tolist() == []


def test_decoder__dead_rows_leave_their_neighbours_alone() -> None:
    """A dead row has no user, and the users around it stay where they are."""
    batch = decode(message(VIEW), b"{", None, message(VIEW, user_id="用户"), b"x" * 70_000)
    assert batch.fate.tolist() == [0, Reason.NOT_JSON, Reason.NOT_JSON, 0, Reason.TOO_LARGE]
    assert [batch.user(row) for row in range(5)] == [b"u1", b"", b"", "用户".encode(), b""]
    assert set(batch.details) == {1, 2, 4}
    assert batch.values[4] == b"x" * 70_000


@pytest.mark.parametrize(
    "value",
    [
        b"", None, b"{", b"nul", b"{} {}", b"\xff", b'{"a":NaN}', b'{"a":-Infinity}', b"[" * 100_00,
        b'{"a":' * 600 + b"1" + b"}" * 600, b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', b'{"\\udc00":1}',
        b'{"a":"\n"}', b"{'a':1}", b'{"a":1,}', b'{"a":01}', b"\xef\xbb\xbf{}", b'{"a":1.}', b"\x00",
        b'{"n":' + b"9" * 5000 + b',"a":"\\ud800"}', b'{"\xff":1}',
        b'{"n":' + b"9" * 5000 + b',"a":"\\ud800","a":1}', b'{"n":' + b"9" * 5000 + b',"a":NaN}',
        b'{"n":' + b"9" * 5000 + b',"a":"\\"}', b'{"n":0' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_decoder__what_is_no_strict_json_is_not_json(value: bytes | None) -> None:
    """Tombstones, broken syntax, wrong UTF-8, lone surrogates and deep nesting are not JSON."""
    assert fate_of(value) == "not_json"


def test_decoder__a_string_that_never_ends_is_passed_over_once() -> None:
    """Brackets in it are no nesting; looking for its end from each of its quotes took seconds."""
    details = decode(b'["' + b"[" * 600, b"[" * 513 + b'"' + b'\\"' * 30_000).details
    assert ["nested" in details[row] for row in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"x" * 65_537, "too_large"),
        (b"[1]", "wrong_type"),
        (b'"a"', "wrong_type"),
        (b"null", "wrong_type"),
        (message(VIEW, event_id=...), "missing_field"),
        (message(VIEW, user_id=...), "missing_field"),
        (message(VIEW, type=...), "missing_field"),
        (message(VIEW, event_time=...), "missing_field"),
        (message(ORDER, order_id=...), "missing_field"),
        (message(ORDER, amount=...), "missing_field"),
        (message(ORDER, type="order_refunded", amount=...), "missing_field"),
        (message(VIEW, user_id=None), "wrong_type"),
        (message(VIEW, user_id=7), "wrong_type"),
        (message(VIEW, type=None), "wrong_type"),
        (message(VIEW, type=["page_view"]), "wrong_type"),
        (message(ORDER, amount=None), "wrong_type"),
        (message(ORDER, order_id=17), "wrong_type"),
        (message(VIEW, category=1), "wrong_type"),
        (message(VIEW, item_launch_at="soon"), "wrong_type"),
        (message(VIEW, discount_amount={}), "wrong_type"),
        (message(VIEW, user_id=""), "out_of_range"),
        (message(VIEW, user_id="u" * 257), "out_of_range"),
        (message(VIEW, user_id="ü" * 129), "out_of_range"),
        (message(VIEW, event_id=""), "out_of_range"),
        (message(VIEW, order_id=""), "out_of_range"),
        (message(VIEW, item_launch_at=-1), "out_of_range"),
        (message(VIEW, event_time=NOW_MS + TOLERANCE_MS + 1), "from_the_future"),
        (message(VIEW, type="search", event_time=NOW_MS + TOLERANCE_MS + 1), "from_the_future"),
        (message(VIEW, event_time=NOW_MS + TOLERANCE_MS), ""),
    ],
)
def test_decoder__each_broken_rule_has_its_reason(value: bytes, reason: str) -> None:
    """What is wrong with a message decides its reason."""
    assert fate_of(value) == reason


def test_decoder__reasons_come_in_the_order_of_the_contract() -> None:
    """A message that breaks several rules gets the reason that is checked first, over all its fields."""
    assert fate_of(message(ORDER, user_id=7, event_id="", amount=...)) == "missing_field"
    assert fate_of(message(ORDER, user_id="", event_time=NOW_MS * 2, amount=True)) == "wrong_type"
    assert fate_of(message(ORDER, event_time=NOW_MS * 2, amount=-1)) == "out_of_range"


def test_decoder__a_null_in_an_optional_field_is_an_absent_field() -> None:
    """Only null in a needed field is of the wrong type."""
    nulls = dict.fromkeys(("order_id", "amount", "item_id", "coupon_id", "discount_amount", "item_launch_at"))
    batch = decode(message(VIEW, **nulls))
    assert (batch.fate[0], batch.order_id_hash[0], batch.amount_minor[0]) == (0, 0, 0)
    assert matched(message(VIEW, **nulls)) == {"activity", "bare"}


@pytest.mark.parametrize(
    ("literal", "minor"),
    [
        ("0", 0), ("-0", 0), ("-0.0", 0), ("0.005", 0), ("0.015", 2), ("1.005", 100), ("2.675", 268),
        ("2.665", 266), ("2.6650000000000000000000000000000000001", 267), ("12", 1200), ("1e2", 10_000),
        ("1.5E-1", 15), ("1e-99", 0), ("10000000000000", 10**15), ("10000000000000.004", 10**15),
        ('"12.34"', 1234), ('"1.005"', 100), ('"+1.5"', 150), ('"007.50"', 750), ('"1E+3"', 100_000),
        ('".5"', 50), ('"1."', 100), ("0e999999999999999999999999", 0), ("1e-999999999999999999999999", 0),
    ],
)  # fmt: skip
def test_decoder__money_is_rounded_half_even_from_its_decimal_text(literal: str, minor: int) -> None:
    """No binary fraction comes between what was sent and the minor units kept."""
    batch = decode(raw(ORDER, "amount", literal))
    assert (batch.fate[0], batch.amount_minor[0]) == (0, minor)


@pytest.mark.parametrize(("minor_digits", "minor"), [(0, 2), (2, 250), (3, 2500)])
def test_decoder__money_follows_the_digits_of_the_currency(minor_digits: int, minor: int) -> None:
    """Minor units have as many digits as the policy says."""
    assert decode(message(ORDER, amount="2.5"), minor_digits=minor_digits).amount_minor[0] == minor


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ("-0.001", "out_of_range"), ("-1", "out_of_range"), ("10000000000000.01", "out_of_range"),
        ("1e400", "out_of_range"), ("9" * 5000, "out_of_range"),
        ("1e999999999999999999999999", "out_of_range"), ('"-5"', "out_of_range"), ("true", "wrong_type"),
        ("[]", "wrong_type"), ('""', "wrong_type"), ('"NaN"', "wrong_type"), ('"Infinity"', "wrong_type"),
        ('"1,5"', "wrong_type"), ('" 1"', "wrong_type"), ('"1_0"', "wrong_type"), ('"\u0661"', "wrong_type"),
        ('"0x10"', "wrong_type"), ('"1e"', "wrong_type"),
    ],
)  # fmt: skip
def test_decoder__money_that_is_none_is_refused(literal: str, reason: str) -> None:
    """A negative or absurd amount is out of range, another text or type is wrong."""
    assert fate_of(raw(ORDER, "amount", literal)) == reason
    assert fate_of(raw(VIEW, "discount_amount", literal)) == reason


@pytest.mark.parametrize(
    ("literal", "time_ms"),
    [
        ("0", 0), ("1767225600000", NOW_MS), ("1767225600000.0", NOW_MS), ("1.7672256e12", NOW_MS),
        ('"2026-01-01T00:00:00Z"', NOW_MS), ('"2026-01-01t00:00:00z"', NOW_MS),
        ('"2025-12-31T23:59:59.9999Z"', NOW_MS - 1), ('"2025-12-31T23:59:59.9Z"', NOW_MS - 100),
        ('"2026-01-01T08:00:00.000+08:00"', NOW_MS), ('"2025-12-31T18:30:00.001-05:30"', NOW_MS + 1),
        ('"2024-02-29T00:00:00Z"', 1_709_164_800_000), ("0e999999999999999999999999", 0), ("-0.0e30", 0),
        ('"2026-01-01T00:00:00.' + "1" * 40 + 'Z"', NOW_MS + 111), ('"1970-01-01T00:00:00Z"', 0),
    ],
)  # fmt: skip
def test_decoder__times_are_unix_milliseconds_or_rfc_3339(literal: str, time_ms: int) -> None:
    """Both spellings of a time mean the same, fractions are cut to milliseconds."""
    batch = decode(raw(VIEW, "event_time", literal))
    assert (batch.fate[0], batch.event_time_ms[0]) == (0, time_ms)


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ("1.5", "wrong_type"), ("true", "wrong_type"), ('"1767225600000"', "wrong_type"),
        ('"2026-01-01"', "wrong_type"), ('"2026-01-01 00:00:00Z"', "wrong_type"),
        ('"2026-01-01T00:00:00"', "wrong_type"), ('""', "wrong_type"),
        ('"2026-01-01T00:00:60Z"', "wrong_type"), ('"2026-02-29T00:00:00Z"', "wrong_type"),
        ('"2026-13-01T00:00:00Z"', "wrong_type"), ('"2026-00-01T00:00:00Z"', "wrong_type"),
        ('"2026-01-01T24:00:00Z"', "wrong_type"), ('"2026-01-01T00:60:00Z"', "wrong_type"),
        ('"2026-01-01T00:00:00.Z"', "wrong_type"), ('"2026-01-01T00:00:00+8:00"', "wrong_type"),
        ('"2026-01-01T00:00:00+24:00"', "wrong_type"), ('"2026-01-01T00:00:00+00:60"', "wrong_type"),
        ('"2026-01-01T00:00:00Z\\n"', "wrong_type"), ('"1969-12-31T23:59:59Z"', "out_of_range"),
        ('"1970-01-01T00:00:00+01:00"', "out_of_range"), ('"9999-12-31T23:59:59-01:00"', "out_of_range"),
        ('"0000-01-01T00:00:00Z"', "out_of_range"), ("-1", "out_of_range"),
        ("253402300800000", "out_of_range"), ("1e400", "out_of_range"), ("9" * 5000, "out_of_range"),
        ("1e-3", "wrong_type"), ("253402300799999", "from_the_future"),
        ('"9999-12-31T23:59:59.999Z"', "from_the_future"),
    ],
)  # fmt: skip
def test_decoder__times_that_are_none_are_refused(literal: str, reason: str) -> None:
    """A text that is no RFC 3339 time is wrong, a time before 1970 or after 9999 out of range."""
    assert fate_of(raw(VIEW, "event_time", literal)) == reason


@pytest.mark.parametrize(
    "user_id", ["{}", "a:b", "\x00\x1f", '"\\', "用户", "😀" * 64, " ", "u" * 256, "\u2028"]
)
def test_decoder__a_user_id_is_any_text(user_id: str) -> None:
    """Braces, control characters and escapes in a user id are characters like any other."""
    escaped = json.dumps(VIEW | {"user_id": user_id}).encode()
    batch = decode(message(VIEW, user_id=user_id), escaped)
    assert [batch.user(0), batch.user(1)] == [user_id.encode()] * 2


def test_decoder__an_unknown_type_is_checked_and_ignored() -> None:
    """A type that the policy does not score is decoded in full and counts for no feature."""
    batch = decode(
        message(ORDER, type="search"), message(VIEW, type=""), message(VIEW, type="search", amount=[])
    )
    assert batch.fate.tolist() == [0, 0, Reason.WRONG_TYPE]
    assert batch.type.tolist() == [-1, -1, -1]
    assert batch.match.tolist() == [0, 0, 0]
    assert batch.amount_minor[0] == 1234


def test_decoder__the_last_of_equal_keys_wins_and_unknown_fields_are_ignored() -> None:
    """Only the last value of a repeated key is looked at, and no unknown one."""
    value = (
        b'{"user_id":7,"x":{"user_id":8,"y":[1e9,null]},'
        + message(VIEW)[1:-1]
        + b',"user_id":"u9","z":1e999}'
    )
    assert decode(value).user(0) == b"u9"
    assert fate_of(message(VIEW)[:-1] + b',"user_id":null}') == "wrong_type"
    long = b"9" * 5000
    assert fate_of(message(VIEW)[:-1] + b',"z":' + long + b"}") == ""
    user = long[:200]
    assert decode(message(VIEW)[:-1] + b',"z":-' + long + b',"user_id":"' + user + b'"}').user(0) == user


@pytest.mark.parametrize(
    ("value", "features"),
    [
        (message(VIEW), {"activity", "bare"}),
        (message(VIEW, type="add_to_cart"), {"cart_age"}),
        (message(VIEW, type="order_refunded", order_id="o", amount=1), set()),
        (message(VIEW, coupon_id="c", category="shoes"), {"activity", "shoes"}),
        (message(VIEW, coupon_id="", category="Schuh"), {"activity"}),
        (message(VIEW, category="鞋"), {"activity", "bare", "shoes"}),
        (message(VIEW, channel="app"), {"activity", "bare"}),
        (message(VIEW, channel="app", scene="home"), {"activity", "bare", "app"}),
        (message(VIEW, item_launch_at=NOW_MS), {"activity", "bare", "fresh", "launched"}),
        (message(VIEW, item_launch_at=NOW_MS - 2_592_000_000), {"activity", "bare", "fresh", "launched"}),
        (message(VIEW, item_launch_at=NOW_MS - 2_592_000_001), {"activity", "bare", "launched"}),
        (message(VIEW, item_launch_at=NOW_MS + 1), {"activity", "bare", "launched"}),
        (message(ORDER), {"activity", "spend", "orders", "bare"}),
        (
            message(ORDER, amount=99.95, coupon_id="c"),
            {"activity", "spend", "orders", "coupon_orders", "big"},
        ),
        (message(ORDER, amount=99.944), {"activity", "spend", "orders", "bare"}),
        (message(ORDER, amount=10), {"activity", "spend", "orders", "bare", "cheap"}),
        (message(ORDER, discount_amount="0.1"), {"activity", "spend", "orders", "bare", "mid"}),
        (message(ORDER, amount=0), {"activity", "spend", "orders", "bare", "cheap", "priced"}),
        (message(ORDER, amount="19.90"), {"activity", "spend", "orders", "bare", "priced"}),
        (message(VIEW, order_id="o2"), {"activity", "bare", "ordered"}),
        (message(VIEW, order_id="o"), {"activity", "bare"}),
        (message(VIEW, order_id="o\n2"), {"activity", "bare"}),
        (message(VIEW, item_launch_at=1000), {"activity", "bare", "launched", "ancient"}),
        (message(VIEW, item_launch_at=1001), {"activity", "bare", "launched"}),
        (message(ORDER, discount_amount="5.01"), {"activity", "spend", "orders", "bare"}),
    ],
)
def test_decoder__a_message_counts_where_type_and_every_restriction_hold(
    value: bytes, features: set[str]
) -> None:
    """Bounds include their ends, an absent field is in and between nothing."""
    assert matched(value) == features


def test_decoder__details_name_field_and_rule_and_stay_short() -> None:
    """A detail says where and what, however large the message was."""
    batch = decode(
        message(VIEW, category=["x"] * 900),
        raw(VIEW, "event_time", f'"{"x" * 9000}"'),
        message(VIEW, user_id=""),
    )
    assert batch.details[0] == "category: must be a string, got an array"
    assert batch.details[1].startswith(
        "event_time: must be whole Unix milliseconds or an RFC 3339 string, got 'xxx"
    )
    assert batch.details[2] == "user_id: must have 1 to 256 bytes, got ''"
    assert all(len(detail) <= 160 for detail in batch.details.values())


def test_event_ids__stand_in_the_text_or_beside_it() -> None:
    """The id behind a hash can be had again, from the scan and from the checked path; a dead row has none."""
    values = [message(VIEW, event_id="ord-991"), b"{", raw(VIEW, "event_id", '"\\u00e9"')]
    ids, start = gathered(decode(*values).event_ids)
    assert [ids[start[n] : start[n + 1]].tobytes().decode() for n in range(3)] == ["ord-991", "", "é"]


def test_hash__is_stable_and_never_zero() -> None:
    """Hashes are stored, so their values are fixed for all versions."""
    assert [hash_of(text) for text in ("", "e1", "12345678", "evt-0000000001-é")] == HASHES
    source = np.frombuffer(bytes(range(256)), np.uint8)
    start = np.repeat(np.arange(100), 100)
    hashes = hash_spans(source, start, start + np.tile(np.arange(100), 100))
    assert len(set(hashes.tolist())) == 99 * 100 + 1  # The empty span is one and the same.
    assert 0 not in hashes
