"""The reference's decoder against messages read by hand. This file keeps it honest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.policy_file import parse_policy
from tests.reference import Reference

T0 = 1_788_220_800_000  # 2026-09-01T00:00:00Z
POLICY = parse_policy(
    {"policy": "shop", "version": 1, "currency": "CNY", "events": {"view": {}, "buy": {"order": True}}},
    "test",
)
GOOD = {"event_id": "e", "user_id": "u", "type": "buy", "event_time": T0, "order_id": "o", "amount": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": ...}, "missing_field"),
        ({"order_id": ..., "amount": "x"}, "missing_field"),
        ({"amount": None}, "wrong_type"),
        ({"amount": True}, "wrong_type"),
        ({"amount": "1,5"}, "wrong_type"),
        ({"amount": "x", "user_id": ""}, "wrong_type"),
        ({"amount": -0.01}, "out_of_range"),
        ({"amount": 10**13 + 1}, "out_of_range"),
        ({"user_id": "é" * 129}, "out_of_range"),
        ({"event_time": T0 + 0.5}, "wrong_type"),
        ({"event_time": "2026-09-01T00:00:00"}, "wrong_type"),
        ({"event_time": "2026-09-01T24:00:00Z"}, "wrong_type"),
        ({"event_time": "1969-12-31T23:59:59Z"}, "out_of_range"),
        ({"event_time": "9999-12-31T23:59:59-01:00"}, "out_of_range"),
        ({"event_time": T0 + 1001}, "from_the_future"),
        ({"event_time": T0 + 1001, "type": "other"}, "from_the_future"),
        ({"type": "other", "event_id": ...}, "missing_field"),
        ({"coupon_id": 7}, "wrong_type"),
        ({"pad": "x" * 65_536}, "too_large"),
    ],
)
def test_reference__reasons_are_checked_in_the_contracts_order(change: dict[str, Any], reason: str) -> None:
    """The first class of reason that applies wins."""
    reference = Reference(POLICY, 1, future_tolerance_ms=1000)
    event = {key: value for key, value in (GOOD | change).items() if value is not ...}
    decoded = reference.decode(json.dumps(event).encode(), T0)
    assert isinstance(decoded, tuple)
    assert decoded[0] == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": ["\\ud800"]}', "not_json"),
        (b'{"a": "\\ud800", "a": 1}', "not_json"),
        (b"[" * 513 + b"]" * 513, "not_json"),
        (b'{"a": ' + b"[" * 512 + b"]" * 512 + b', "a": 1}', "not_json"),
        (b'{"a": ' + b"[" * 511 + b'"[["' + b"]" * 511 + b"}", "missing_field"),
        (b"[1]", "wrong_type"),
        (b"{}", "missing_field"),
    ],
)
def test_reference__what_is_no_event_has_a_reason(value: bytes | None, reason: str) -> None:
    """Strict JSON, an object, and all of its fields."""
    decoded = Reference(POLICY, 1).decode(value, T0)
    assert isinstance(decoded, tuple)
    assert decoded[0] == reason


@pytest.mark.parametrize(
    ("field", "value", "name", "expected"),
    [
        ("event_time", "2026-09-01T08:00:00.0019+08:00", "event_time_ms", T0 + 1),
        ("event_time", "2026-08-31t19:30:00-04:30", "event_time_ms", T0),
        ("event_time", float(T0), "event_time_ms", T0),
        ("event_time", T0 + 300_000, "event_time_ms", T0 + 300_000),
        ("amount", 0.125, "amount_minor", 12),
        ("amount", "0.135", "amount_minor", 14),
        ("amount", 1.005, "amount_minor", 100),
        ("amount", "1e2", "amount_minor", 10_000),
        ("amount", "+.5", "amount_minor", 50),
        ("amount", "5.", "amount_minor", 500),
        ("amount", "0e99999999999999999999", "amount_minor", 0),
        ("amount", "1e-99999999999999999999", "amount_minor", 0),
        ("discount_amount", None, "discount_minor", None),
    ],
)
def test_reference__values_are_read_exactly(field: str, value: Any, name: str, expected: Any) -> None:
    """Times become Unix ms, amounts whole minor units, rounded half-even as they are written."""
    decoded = Reference(POLICY, 1).decode(json.dumps(GOOD | {field: value}).encode(), T0)
    assert isinstance(decoded, dict)
    assert decoded[name] == expected
