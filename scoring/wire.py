"""This file reads one message by the contract: slow, checked, exact; what decides every doubtful case."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from scoring.events import Reason
from scoring.match import TEXT_FIELDS
from scoring.policy import Policy
from scoring.wire_values import money_minor, number_of, read_number, time_ms

USER_ID_BYTES_MAX = 256
NESTING_MAX = 512  # A limit of our own: the parser's depends on how deep Python's stack happens to be.
SHOWN_MAX = 80

REQUIRED: Final = ("event_id", "user_id", "type", "event_time")
REQUIRED_OF_ORDERS: Final = ("order_id", "amount")
MONEY_FIELDS: Final = ("amount", "discount_amount")
TIME_FIELDS: Final = ("event_time", "item_launch_at")
STRING_FIELDS: Final = ("event_id", "user_id", "type", *TEXT_FIELDS)
RULES: Final = {
    **dict.fromkeys(STRING_FIELDS, "must be a string"),
    **dict.fromkeys(MONEY_FIELDS, "must be a number or a decimal string"),
    **dict.fromkeys(TIME_FIELDS, "must be whole Unix milliseconds or an RFC 3339 string"),
}
RANGES: Final = {
    "user_id": f"must have 1 to {USER_ID_BYTES_MAX} bytes",
    **dict.fromkeys(("event_id", "order_id"), "must not be empty"),
    **dict.fromkeys(MONEY_FIELDS, "must be at least 0 and at most 10^15 minor units"),
    **dict.fromkeys(TIME_FIELDS, "must be in the years 1970 to 9999"),
}
# A string that never ends goes to the end of the text: else the search began anew at each quote in it.
QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
LONG_DIGITS = 100
QUOTED_OR_LONG = re.compile(QUOTED.pattern + rb"|[0-9]{%d,}" % LONG_DIGITS, re.DOTALL)
OPENING, CLOSING = b"[{", b"]}"


@dataclass(frozen=True, slots=True)
class WireEvent:
    """Hold the known fields of one good message; None is absent, money is in minor units."""

    event_id: str
    user_id: bytes
    type: str
    event_time_ms: int
    order_id: str | None
    amount_minor: int | None
    discount_minor: int | None
    item_launch_at_ms: int | None
    texts: Mapping[str, str]

    def numbers(self, minor_digits: int) -> dict[str, float]:
        """Give the present number fields in the units that a policy's `where` uses."""
        numbers: dict[str, float] = {}
        for name, minor in (("amount", self.amount_minor), ("discount_amount", self.discount_minor)):
            if minor is not None:
                numbers[name] = minor / 10**minor_digits
        if self.item_launch_at_ms is not None:
            numbers["item_launch_at"] = self.item_launch_at_ms
            numbers["item_age"] = (self.event_time_ms - self.item_launch_at_ms) / 1000
        return numbers


@dataclass(frozen=True, slots=True)
class Rejection:
    """Say why a message is no event."""

    reason: Reason
    detail: str


class WireReader:
    """Read messages in the native JSON format under the types and the currency of a policy."""

    def __init__(self, policy: Policy, event_bytes_max: int) -> None:
        self._order_types = frozenset(event.name for event in policy.events if event.order or event.refund)
        self._minor_digits = policy.minor_digits
        self._event_bytes_max = event_bytes_max

    def read(self, value: bytes | None) -> WireEvent | Rejection:
        """Check one message in the order of the contract: the first broken rule is its reason."""
        if value is not None and len(value) > self._event_bytes_max:
            return Rejection(
                Reason.TOO_LARGE, f"value: must have at most {self._event_bytes_max} bytes, got {len(value)}"
            )
        if not value:
            return Rejection(
                Reason.NOT_JSON, f"value: must be JSON, got {'null' if value is None else 'no bytes'}"
            )
        try:
            document = parse(value)
        except ValueError as error:
            return Rejection(Reason.NOT_JSON, f"value: must be JSON: {str(error)[:SHOWN_MAX]}")
        if not isinstance(document, dict):
            return Rejection(Reason.WRONG_TYPE, f"value: must be a JSON object, got {shown(document)}")
        return self._check(document)

    def _check(self, document: dict[str, Any]) -> WireEvent | Rejection:
        kind = document.get("type")
        needs_order = isinstance(kind, str) and kind in self._order_types
        required = REQUIRED + REQUIRED_OF_ORDERS if needs_order else REQUIRED
        for name in required:
            if name not in document:
                return Rejection(
                    Reason.MISSING_FIELD, f"{name}: must be there{' for this type' * (name not in REQUIRED)}"
                )
        present = {
            name: document[name] for name in RULES if name in required or document.get(name) is not None
        }
        fields = {name: self._read_field(name, value) for name, value in present.items()}
        for broken, reason, rules in (
            ("wrong_type", Reason.WRONG_TYPE, RULES),
            ("out_of_range", Reason.OUT_OF_RANGE, RANGES),
        ):
            for name, (rule, _) in fields.items():
                if rule == broken:
                    return Rejection(reason, f"{name}: {rules[name]}, got {shown(present[name])}")
        return _event_of({name: answer for name, (_, answer) in fields.items()})

    def _read_field(self, name: str, value: object) -> tuple[str, Any]:
        """Answer (broken rule or "", what the field means)."""
        if name in STRING_FIELDS:
            return _read_string(name, value)
        answer = money_minor(value, self._minor_digits) if name in MONEY_FIELDS else time_ms(value)
        return (answer, None) if isinstance(answer, str) else ("", answer)


def _read_string(name: str, value: object) -> tuple[str, Any]:
    if not isinstance(value, str):
        return "wrong_type", None
    if name == "user_id":
        user_id = value.encode()
        return ("" if 1 <= len(user_id) <= USER_ID_BYTES_MAX else "out_of_range"), user_id
    return ("out_of_range" if name in RANGES and not value else ""), value


def _event_of(fields: dict[str, Any]) -> WireEvent:
    return WireEvent(
        event_id=fields["event_id"],
        user_id=fields["user_id"],
        type=fields["type"],
        event_time_ms=fields["event_time"],
        order_id=fields.get("order_id"),
        amount_minor=fields.get("amount"),
        discount_minor=fields.get("discount_amount"),
        item_launch_at_ms=fields.get("item_launch_at"),
        texts={name: fields[name] for name in TEXT_FIELDS if name in fields},
    )


def parse(value: bytes) -> Any:
    """
    Parse strict JSON; numbers with a fraction or exponent, and very long ones, become exact Decimals.

    Raises ValueError for anything else: literals like NaN, wrong UTF-8, lone surrogates, deep nesting.
    """
    if _nests_too_deep(value):
        raise ValueError(f"nested deeper than {NESTING_MAX}")
    try:
        return DECODER.decode(value)
    except msgspec.ValidationError:
        return _parse_long_numbers(value)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _decimal(text: str) -> Decimal:
    number = read_number(text)
    assert number is not None, text
    return number


DECODER = msgspec.json.Decoder(float_hook=_decimal)


def _parse_long_numbers(value: bytes) -> Any:
    """
    Parse what msgspec gives up on: integers of more than 4300 digits, which are JSON all the same.

    The standard library lets lone surrogates pass, so msgspec looks at the same text with shorter numbers first.
    """
    try:
        DECODER.decode(QUOTED_OR_LONG.sub(_shortened, value))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    return json.loads(value.decode(), parse_int=_decimal, parse_float=_decimal)


def _shortened(found: re.Match[bytes]) -> bytes:
    text = found[0]
    return text if text.startswith(b'"') else text[:LONG_DIGITS]


def _nests_too_deep(value: bytes) -> bool:
    if value.count(b"[") + value.count(b"{") <= NESTING_MAX:
        return False
    depth = 0
    for byte in QUOTED.sub(b"", value):
        if byte in OPENING:
            depth += 1
            if depth > NESTING_MAX:
                return True
        elif byte in CLOSING:
            depth -= 1
    return False


def shown(value: object) -> str:
    """Show what was got on at most 80 printable characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, str):
        return repr(value[:SHOWN_MAX])[:SHOWN_MAX]
    if number_of(value) is not None:
        number = number_of(value)
        return str(number) if len(number.as_tuple().digits) < SHOWN_MAX // 2 else "a very long number"  # type: ignore[union-attr]
    return {None: "null", True: "true", False: "false"}[value]  # type: ignore[index]
