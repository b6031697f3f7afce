"""This file takes items from an iterator one by one, and may have the next one made before it is asked for."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Hold at most one item that is ready; None ends them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._next: Item | None = None
        self._is_ready = False

    def prepare(self) -> None:
        """Make the next item, unless that is done."""
        if not self._is_ready:
            self._next = next(self._items, None)
            self._is_ready = True

    def take(self) -> Item | None:
        """Answer the next item, or None behind the last."""
        self.prepare()
        self._is_ready = False
        return self._next
