"""This file shows when a shard's changes wait for more events."""

import pytest

from flows.gathering import CHANGES_MAX, GATHER_MS, Gathering

HOUR_MS = 3_600_000


@pytest.fixture
def hour_behind() -> Gathering:
    """Read the first message of one of two topics at 1,000 ms; it is an hour old."""
    gathering = Gathering.of(2)
    gathering.note_read(1, newest_ms=0, now_ms=1_000)
    return gathering


def test_gathering__counts_from_the_first_message(hour_behind: Gathering) -> None:
    """However long nothing was read before, changes gather for their time, and no longer."""
    hour_behind.note_read(0, newest_ms=5, now_ms=9_000)
    assert hour_behind.goes_on(1_000 + GATHER_MS - 1, HOUR_MS, 0)
    assert not hour_behind.goes_on(1_000 + GATHER_MS, HOUR_MS, 0)


def test_gathering__is_over_where_one_more_read_brings_nothing(hour_behind: Gathering) -> None:
    """At the end of what is read, or with nothing read, nothing waits; a topic that goes on counts."""
    assert not Gathering.of(2).goes_on(0, HOUR_MS, 0)
    hour_behind.note_end(0)
    assert hour_behind.goes_on(1_001, HOUR_MS, 0)
    hour_behind.note_end(1)
    assert not hour_behind.goes_on(1_001, HOUR_MS, 0)


def test_gathering__costs_half_of_the_time_that_we_are_behind(hour_behind: Gathering) -> None:
    """Whoever is nearly there is not made much later."""
    hour_behind.note_read(1, newest_ms=HOUR_MS - 800, now_ms=1_100)
    assert hour_behind.goes_on(1_399, HOUR_MS, 0)
    assert not hour_behind.goes_on(1_400, HOUR_MS, 0)


def test_gathering__bounds_the_changes_that_wait(hour_behind: Gathering) -> None:
    """Changes are held in memory, so not any number of them."""
    assert hour_behind.goes_on(1_001, HOUR_MS, CHANGES_MAX - 1)
    assert not hour_behind.goes_on(1_001, HOUR_MS, CHANGES_MAX)
