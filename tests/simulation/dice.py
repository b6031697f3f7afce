"""Choices out of one number, so that a schedule is a list of numbers. This file rolls them."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """Answer choices until the number is used up, and 0 from then on."""

    def __init__(self, number: int) -> None:
        self._number = number

    def take(self, sides: int) -> int:
        """Answer a number below `sides`."""
        self._number, chosen = divmod(self._number, sides)
        return chosen

    def pick(self, items: Sequence[Item]) -> Item:
        """Answer one of the items."""
        return items[self.take(len(items))]
