"""This file draws numbers a block at a time: one call of a numpy Generator costs as much as a whole mutation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

BLOCK = 65_536

One = TypeVar("One")


class Dice:
    """Draw from a seeded numpy Generator."""

    def __init__(self, seed: int) -> None:
        self._numbers = self._drawn(np.random.default_rng(seed))

    def below(self, end: int) -> int:
        """Draw a whole number from 0 up to `end`, without it."""
        return next(self._numbers) % end

    def percent(self, share: int) -> bool:
        """Draw yes in so many of a hundred cases."""
        return next(self._numbers) % 100 < share

    def one(self, choices: Sequence[One]) -> One:
        """Draw one of several."""
        return choices[next(self._numbers) % len(choices)]

    @staticmethod
    def _drawn(generator: np.random.Generator) -> Iterator[int]:
        while True:
            yield from generator.integers(0, 2**62, BLOCK).tolist()
