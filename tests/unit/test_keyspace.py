"""This file pins the keys and the formats of values in Redis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks import keyspace
from sinks.keyspace import Keyspace


def test_keyspace__spells_the_contracts_keys() -> None:
    """Keys read as the contract says; a shard's number has at least two digits and is the hash tag."""
    keys = Keyspace("tierwise")
    assert keys.user("u42") == b"tierwise:user:u42"
    assert keys.user(b"\xc3\xa9{}\n") == "tierwise:user:é{}\n".encode()
    assert keys.audience("tier", "gold") == b"tierwise:audience:tier:gold"
    assert keys.rows(7) == b"tierwise:shard:{07}:rows"
    assert keys.cold(7) == b"tierwise:shard:{07}:cold"
    assert keys.meta(123) == b"tierwise:shard:{123}:meta"
    assert keys.outbox(0) == b"tierwise:shard:{00}:outbox"


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (71.24, "71.24"),
        (0.0, "0"),
        (-0.0, "0"),
        (-0.0000001, "0"),
        (100.0, "100"),
        (1 / 3, "0.333333"),
        (0.000001, "0.000001"),
        (1e-7, "0"),
        (-12.5, "-12.5"),
        (1e10, "10000000000"),
        (1e300, "9000000000000000000"),
        (-1e300, "-9000000000000000000"),
    ],
)
def test_points_text__has_six_decimals_at_most(points: float, text: str) -> None:
    """Points have no exponent, no trailing zeros and no negative zero."""
    assert keyspace.points_text(points) == text


@given(st.floats(-1e9, 1e9))
def test_points_rounded__reads_as_points_text(points: float) -> None:
    """What the change topic says as a number is what the profile says as text."""
    rounded = keyspace.points_rounded(points)
    assert rounded == float(keyspace.points_text(points))
    assert abs(rounded - points) <= 0.5e-6 + 1e-9 * abs(points)


@pytest.mark.parametrize(
    ("units", "places", "text"),
    [(1234, 2, "12.34"), (5, 2, "0.05"), (-5, 2, "-0.05"), (1234, 0, "1234"), (0, 3, "0.000")],
)
def test_decimal_text__keeps_all_decimals(units: int, places: int, text: str) -> None:
    """Money has as many decimals as its currency."""
    assert keyspace.decimal_text(units, places) == text


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_788_249_600_001, "2026-09-01T08:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**62, "9999-12-31T23:59:59.999Z"),
        (-(2**62), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_time_text__is_rfc_3339_with_milliseconds(time_ms: int, text: str) -> None:
    """Times are UTC with exactly three decimals; what no year can hold is cut."""
    assert keyspace.time_text(time_ms) == text
