"""How far an endpoint is in each partition. This file knows up to where everything is settled."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Mark(NamedTuple):
    """Say where reading a partition goes on after a restart: nothing before this offset is open."""

    partition: int
    offset: int


@dataclass(slots=True)
class _Account:
    position: int
    committed: int
    open: OrderedDict[int, None] = field(default_factory=OrderedDict)

    @property
    def settled_up_to(self) -> int:
        return next(iter(self.open), self.position)


class Ledger:
    """Count messages that were read and those whose fate is known: delivered, parked, or not wanted."""

    def __init__(self) -> None:
        self._accounts: dict[int, _Account] = {}

    @property
    def partitions(self) -> list[int]:
        """List the partitions that are ours."""
        return sorted(self._accounts)

    def begin(self, marks: Iterable[Mark]) -> None:
        """Start over with these partitions, and no others."""
        self._accounts = {mark.partition: _Account(mark.offset, mark.offset) for mark in marks}

    def read(self, partition: int, offset: int, *, is_open: bool) -> None:
        """Note the next message of a partition, and whether it has to be delivered."""
        account = self._accounts[partition]
        account.position = offset + 1
        if is_open:
            account.open[offset] = None

    def settle(self, partition: int, offset: int) -> None:
        """Note that the fate of a message is known."""
        del self._accounts[partition].open[offset]

    def news(self) -> list[Mark]:
        """Answer what there is to commit."""
        return [
            Mark(partition, account.settled_up_to)
            for partition, account in self._accounts.items()
            if account.settled_up_to > account.committed
        ]

    def committed(self, marks: Iterable[Mark]) -> None:
        """Note what the group knows."""
        for partition, offset in marks:
            if account := self._accounts.get(partition):
                account.committed = max(account.committed, offset)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that are ours no more."""
        for partition in partitions:
            self._accounts.pop(partition, None)
