"""How durations are read and written, and which are refused."""

import pytest

from config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("30d", 2_592_000_000),
        ("24h", 86_400_000),
        ("15m", 900_000),
        ("10s", 10_000),
        ("250ms", 250),
        ("1.5h", 5_400_000),
        ("0s", 0),
    ],
)
def test_duration__reads_and_writes_each_unit(text: str, duration_ms: int) -> None:
    """A duration reads as milliseconds, and what is written reads back the same."""
    assert parse_duration(text) == duration_ms
    assert parse_duration(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize("text", ["", "d", "10", "-5s", "5 parsecs", "0.5ms", "1e3s", "99999d", "٣d"])
def test_duration__anything_else_is_refused(text: str) -> None:
    """A duration without a unit, with a sign or beyond a century is an error, not a guess."""
    with pytest.raises(ValueError, match=r"duration|unit|milliseconds|at most"):
        parse_duration(text)
