"""Tests of calls that may never come back."""

import threading

import pytest

from flows.hop.bounded_call import Stuck, bounded


def test_bounded__comes_back_when_the_call_does() -> None:
    """A call that ends in time has been made."""
    made: list[int] = []
    bounded(lambda: made.append(1))
    assert made == [1]


def test_bounded__raises_what_the_call_raises() -> None:
    """The caller sees the error of the call."""
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 / 0)


def test_bounded__gives_up_a_call_that_is_stuck() -> None:
    """A call that does not come back is left behind."""
    release = threading.Event()
    with pytest.raises(Stuck, match="did not come back"):
        bounded(release.wait, limit_s=0.05)
    release.set()
