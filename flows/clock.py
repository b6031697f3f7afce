"""This file holds the clock that the stages are given, so that a test can move time by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tell the time of the day and the time that only ever moves forward."""

    def wall_ms(self) -> int:
        """Give the Unix time."""

    def monotonic_ms(self) -> int:
        """Give a time to measure durations with."""


class SystemClock:
    """Tell the time of this machine."""

    def wall_ms(self) -> int:
        """Give the Unix time."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Give a time to measure durations with."""
        return time.monotonic_ns() // 1_000_000
