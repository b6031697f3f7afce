"""This file reads single JSON values exactly: numbers, money and times, each or the rule it breaks."""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal

EVENT_TIME_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
AMOUNT_MINOR_MAX = 10**15
UNIX_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
EXPONENT_LIMIT = 100_000  # Far beyond any accepted value; keeps Decimal's own limits out of play.

# Money needs 16 digits and the rest of a number is rounded away, so that 60 digits never round twice.
MONEY = Context(prec=60, rounding=ROUND_HALF_EVEN)
NUMBER = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def read_number(text: str) -> Decimal | None:
    """Read decimal text exactly, an exponent beyond all reason cut; None when it is no plain number."""
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits, exponent = found.groups()
    if exponent is None:
        return Decimal(text)
    # Cut as text: int() refuses more than 4300 digits.
    magnitude = exponent.lstrip("+-").lstrip("0")
    power = int(magnitude or "0") if len(magnitude) < 6 else EXPONENT_LIMIT
    return Decimal(f"{sign}{digits}E{'-' if exponent.startswith('-') else '+'}{power}")


def number_of(value: object) -> Decimal | None:
    """Take a decoded JSON number as Decimal; None when it is none (true and false are no numbers)."""
    if type(value) is int:
        return Decimal(value)
    return value if isinstance(value, Decimal) else None


def money_minor(value: object, minor_digits: int) -> int | str:
    """
    Round a JSON number or decimal string half-even to minor units.

    Answers the broken rule, "wrong_type" or "out_of_range", as text.
    """
    amount = read_number(value) if isinstance(value, str) else number_of(value)
    if amount is None:
        return "wrong_type"
    if amount.is_zero():
        return 0
    if amount < 0 or amount.adjusted() > 20:
        return "out_of_range"
    if amount.adjusted() < -20:
        return 0
    minor = int(MONEY.quantize(amount, Decimal((0, (1,), -minor_digits))).scaleb(minor_digits, MONEY))
    return minor if minor <= AMOUNT_MINOR_MAX else "out_of_range"


def time_ms(value: object) -> int | str:
    """Read Unix milliseconds or an RFC 3339 string; the broken rule as text like money_minor."""
    answer = rfc3339_ms(value) if isinstance(value, str) else whole_ms(number_of(value))
    if answer is None:
        return "wrong_type"
    return answer if 0 <= answer <= EVENT_TIME_MS_MAX else "out_of_range"


def whole_ms(number: Decimal | None) -> int | None:
    """Take a whole number, one too large to expand as -1; None for a fraction."""
    if number is None or not _is_whole(number):
        return None
    if number.is_zero():  # Whatever its exponent, which would have to be expanded.
        return 0
    return int(number) if number.adjusted() <= 20 else -1


def _is_whole(number: Decimal) -> bool:
    if number.is_zero():
        return True
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), number
    return exponent >= 0 or (-exponent < len(digits) and not any(digits[exponent:]))


def rfc3339_ms(text: str) -> int | None:
    """Read an RFC 3339 time, cut to milliseconds; None when it is none. Negative before 1970."""
    found = TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hour, offset_minute = found.groups()[6:]
    if hour > 23 or minute > 59 or second > 59 or int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        return None
    try:
        # Year 0 is not Python's; 2000 has the same calendar and both fates are decided by the sign below.
        days = date(year or 2000, month, day).toordinal() - UNIX_EPOCH_ORDINAL
    except ValueError:
        return None
    if year == 0:
        return -1
    offset_s = int(offset_hour or 0) * 3600 + int(offset_minute or 0) * 60
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - (-offset_s if sign == "-" else offset_s)
    return seconds * 1000 + int(((fraction or "") + "000")[:3])
