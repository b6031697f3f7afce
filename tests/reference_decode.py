"""This file is the slow decoder: one message of contract section 2 to a dict, or to a reason and a detail."""

from __future__ import annotations

import json
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from json.decoder import scanstring
from typing import Any

from scoring.policy import Policy

TIME_MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
AMOUNT_MAX_MINOR = 10**15
USER_ID_BYTES_MAX = 256
NESTING_MAX = 512

REQUIRED = ("event_id", "user_id", "type", "event_time")
REQUIRED_WITH_ORDERS = ("order_id", "amount")
STRINGS = ("event_id", "user_id", "type", "order_id", "item_id", "category", "channel", "scene", "coupon_id")
TIMES = ("event_time", "item_launch_at")
AMOUNTS = ("amount", "discount_amount")
TIME_NAMES, AMOUNT_NAMES = ("event_time_ms", "item_launch_ms"), ("amount_minor", "discount_minor")
NEVER_EMPTY = ("event_id", "user_id", "order_id")

RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)
DECIMAL_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

Refusal = tuple[str, str]


class Refused(Exception):
    """Carry a dead letter's reason and detail out of the depths of the decoder."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.refusal: Refusal = (reason, detail)


def decode(
    policy: Policy,
    value: bytes | None,
    ingest_time_ms: int,
    future_tolerance_ms: int,
    event_bytes_max: int,
    parse: Callable[[bytes | None], dict[str, Any]] | None = None,
) -> dict[str, Any] | Refusal:
    """
    Turn one message into a dict of plain values, or say why it is a dead letter.

    Keys: event_id, user_id, type, event_time_ms, and order_id, amount_minor, discount_minor, item_launch_ms,
    item_id, category, channel, scene, coupon_id, each None when the message has none.

    Args:
        parse: another reader of JSON than `parsed`, whose numbers are Decimals too.
    """
    try:
        if value is not None and len(value) > event_bytes_max:
            raise Refused("too_large", f"{len(value)} bytes")
        event = typed(policy, (parse or parsed)(value))
        check_ranges(event)
        if event["event_time_ms"] > ingest_time_ms + future_tolerance_ms:
            raise Refused("from_the_future", "event_time")
    except Refused as refused:
        return refused.refusal
    return event


def parsed(value: bytes | None) -> dict[str, Any]:
    """Read strict JSON: UTF-8, no NaN, no lone surrogate anywhere, not nested too deep; an object."""
    try:
        text = (value or b"").decode("utf-8")
        hook = members if "\\u" in text else None  # UTF-8 has no surrogates; escapes may.
        document = json.loads(
            text, object_pairs_hook=hook, parse_float=number, parse_int=number, parse_constant=no_constant
        )
        if hook:
            refuse_surrogates(document)
        refuse_depth(text)
    except (ValueError, RecursionError) as error:
        raise Refused("not_json", str(error)) from error
    if not isinstance(document, dict):
        raise Refused("wrong_type", "the message is no object")
    return document


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of a key that stands twice the last counts, but the other has to be JSON, too."""
    refuse_surrogates(pairs)
    return dict(pairs)


def refuse_surrogates(document: object) -> None:
    """Refuse lone surrogates, which Python's strings hold but UTF-8 cannot."""
    json.dumps(document, ensure_ascii=False, default=str).encode("utf-8")


def refuse_depth(text: str) -> None:
    """Refuse what is nested deeper than the contract allows, also where an equal key hides it; it is JSON."""
    if text.count("[") + text.count("{") <= NESTING_MAX:
        return
    at, depth = 0, 0
    while at < len(text):
        if text[at] == '"':
            _, at = scanstring(text, at + 1)
            continue
        depth += (text[at] in "[{") - (text[at] in "]}")
        if depth > NESTING_MAX:
            raise Refused("not_json", f"nested deeper than {NESTING_MAX}")
        at += 1


def number(text: str) -> Decimal:
    """Keep a JSON number exactly as it is written; an exponent beyond Decimal's own is cut, zero stays zero."""
    try:
        return Decimal(text)
    except InvalidOperation:
        digits, _, exponent = text.lower().partition("e")
        return Decimal(digits).scaleb(-1000 if exponent.startswith("-") else 1000)


def no_constant(name: str) -> None:
    """Refuse NaN and the infinities, which are no JSON."""
    raise ValueError(name)


def typed(policy: Policy, document: dict[str, Any]) -> dict[str, Any]:
    """Check that what is needed is there, then that everything known has its type."""
    with_orders = {event_type.name for event_type in policy.events if event_type.order or event_type.refund}
    kind = document.get("type")
    required: tuple[str, ...] = REQUIRED
    if isinstance(kind, str) and kind in with_orders:
        required = REQUIRED + REQUIRED_WITH_ORDERS
    for field in required:
        if field not in document:
            raise Refused("missing_field", field)
    for field in required:
        if document[field] is None:
            raise Refused("wrong_type", field)

    event: dict[str, Any] = {}
    for field in STRINGS:
        event[field] = document.get(field)
        if event[field] is not None and not isinstance(event[field], str):
            raise Refused("wrong_type", field)
    for field, name in zip(TIMES, TIME_NAMES, strict=True):
        event[name] = None if document.get(field) is None else unix_ms(field, document[field])
    for field, name in zip(AMOUNTS, AMOUNT_NAMES, strict=True):
        event[name] = None if document.get(field) is None else money(field, document[field])
    event["minor_digits"] = policy.minor_digits
    return event


def check_ranges(event: dict[str, Any]) -> None:
    """Check every range and finish the amounts: rounded half-even to whole minor units."""
    for field in NEVER_EMPTY:
        if event[field] == "":
            raise Refused("out_of_range", field)
    if len(event["user_id"].encode("utf-8")) > USER_ID_BYTES_MAX:
        raise Refused("out_of_range", "user_id")
    for field, name in zip(TIMES, TIME_NAMES, strict=True):
        if event[name] is not None and not 0 <= event[name] <= TIME_MAX_MS:
            raise Refused("out_of_range", field)
        if event[name] is not None:
            event[name] = int(event[name])
    digits = event.pop("minor_digits")
    for field, name in zip(AMOUNTS, AMOUNT_NAMES, strict=True):
        if event[name] is not None:
            event[name] = minor_units(field, event[name], digits)


def unix_ms(field: str, value: Any) -> int | Decimal:
    """Read a time: a whole number of Unix ms or an RFC 3339 string; its range is checked later."""
    if isinstance(value, Decimal):
        if value != value.to_integral_value():
            raise Refused("wrong_type", field)
        return value
    if not isinstance(value, str):
        raise Refused("wrong_type", field)
    match = RFC_3339.fullmatch(value)
    if match is None:
        raise Refused("wrong_type", field)
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    offset_hour, offset_minute = int(match[10] or 0), int(match[11] or 0)
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(2000 + year % 400, month)[1]:
        raise Refused("wrong_type", field)
    if hour > 23 or minute > 59 or second > 59 or offset_hour > 23 or offset_minute > 59:
        raise Refused("wrong_type", field)
    if year == 0:  # Not a year of Python's; whatever the day, it is before 1970.
        return -1
    local = datetime(year, month, day, hour, minute, second) - datetime(1970, 1, 1)
    seconds = local.days * 86_400 + local.seconds
    offset_seconds = (offset_hour * 60 + offset_minute) * 60 * (-1 if match[9] == "-" else 1)
    fraction_ms = int(((match[7] or "") + "000")[:3])  # Finer than a millisecond is cut.
    return (seconds - offset_seconds) * 1000 + fraction_ms


def money(field: str, value: Any) -> Decimal:
    """Read an amount in major units from a number or a decimal string."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and DECIMAL_TEXT.fullmatch(value):
        return number(value)
    raise Refused("wrong_type", field)


def minor_units(field: str, major: Decimal, digits: int) -> int:
    """Round an amount half-even to minor units; negative or enormous ones are out of range."""
    with localcontext() as context:
        context.prec = 60
        if major < 0 or major > AMOUNT_MAX_MINOR * 10:
            raise Refused("out_of_range", field)
        rounded = major.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
        minor = int(rounded.scaleb(digits))
    if minor > AMOUNT_MAX_MINOR:
        raise Refused("out_of_range", field)
    return minor
