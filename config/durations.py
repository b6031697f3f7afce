"""This file holds durations as an operator writes them: `30d`, `24h`, `15m`, `10s`, `250ms`."""

import re
from decimal import Decimal

UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_DURATION_MS_MAX = 36_500 * UNIT_MS["d"]  # A century: far from the end of int64, past any sensible span.


def parse_duration(text: str) -> int:
    """
    Answer the milliseconds of a duration.

    Raises ValueError with the rule that does not hold, worded for the operator.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be a duration such as 30d, 24h, 15m, 10s or 250ms, got {text!r}")
    number, unit = match.groups()
    if unit not in UNIT_MS:
        complaint = f"unknown unit in {text!r}" if unit else f"a unit is missing in {text!r}"
        raise ValueError(f"{complaint}; use ms, s, m, h or d")
    duration_ms = Decimal(number) * UNIT_MS[unit]
    if duration_ms != int(duration_ms):
        raise ValueError(f"must be whole milliseconds, got {text!r}")
    if duration_ms > _DURATION_MS_MAX:
        raise ValueError(f"must be at most 36500d, got {text!r}")
    return int(duration_ms)


def format_duration(duration_ms: int) -> str:
    """Write milliseconds in the largest unit that stays whole; parse_duration reads it back."""
    if duration_ms == 0:
        return "0s"
    for unit, unit_ms in UNIT_MS.items():
        if duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms}{unit}"
    raise AssertionError(duration_ms)
