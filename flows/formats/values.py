"""This file turns single values of other formats into native ones; what it cannot turn stays for the decoder."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from flows.formats.places import Broken
from scoring.wire import RULES, shown
from scoring.wire_values import MONEY, number_of, read_number

MS_EXPONENT = {"s": 3, "ms": 0, "us": -3, "ns": -6}
DIGITS_MAX = 40
"""Numbers further from 1 are out of every range, and are not written out."""


def milliseconds(found: Any, unit: str) -> Any:
    """Turn a number, or its digits as text, into whole Unix milliseconds, cut; other texts are times already."""
    number = read_number(found) if isinstance(found, str) else number_of(found)
    if number is None or abs(number.adjusted()) > DIGITS_MAX:
        return found if number is None or number.is_zero() else number
    return int(MONEY.scaleb(number, MS_EXPONENT[unit]).to_integral_value(ROUND_FLOOR))


def reduced(found: Any, parts: Sequence[tuple[str, Any]]) -> Any:
    """
    Take amounts off another one.

    Args:
        parts: where each amount stands, for people, and what stands there; None is nothing.
    """
    amount = money(found)
    if amount is None:
        return found
    for text, part in parts:
        if isinstance(part, Broken):
            return part
        off = Decimal(0) if part is None else money(part)
        if off is None:
            return Broken(f"{text}: {RULES['amount']}, got {shown(part)}")
        amount = MONEY.subtract(amount, off)
    return amount


def money(found: Any) -> Decimal | None:
    """Read a JSON number or decimal text as the decoder does."""
    return read_number(found) if isinstance(found, str) else number_of(found)


def as_text(found: Any) -> Any:
    """Turn a number into its digits."""
    number = number_of(found)
    if number is None or abs(number.adjusted()) > DIGITS_MAX:
        return found
    return format(number, "f")
