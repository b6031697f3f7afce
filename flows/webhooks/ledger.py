"""How far an endpoint is in each partition. This file knows up to where everything is settled, and what is behind."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from flows.webhooks.lanes import Delivery
from flows.webhooks.notes import Note, Tried, read_note, write_note


class Mark(NamedTuple):
    """Say where reading a partition goes on after a restart, nothing before it open, and what is noted beside."""

    partition: int
    offset: int
    note: str = ""


@dataclass(slots=True)
class _Account:
    position: int
    before: Note
    told: Mark | None
    open: OrderedDict[int, Delivery] = field(default_factory=OrderedDict)

    @property
    def offset(self) -> int:
        return next(iter(self.open), self.position)

    def mark(self, partition: int, note_size_max: int) -> Mark:
        end = max(self.position, self.before.until)
        note = write_note(self.offset, end, self._still_open(), note_size_max)
        return Mark(partition, self.offset, note)

    def _still_open(self) -> Iterator[tuple[int, Tried | None]]:
        for offset, one in self.open.items():
            yield offset, Tried(one.attempts, one.first_try_ms, one.planned_ms) if one.attempts else None
        for offset, tried in self.before.open.items():
            if offset >= self.position:  # Not read again yet.
                yield offset, tried


class Ledger:
    """Count messages that were read and those whose fate is known: delivered, parked, or not wanted."""

    def __init__(self) -> None:
        self._accounts: dict[int, _Account] = {}

    @property
    def partitions(self) -> list[int]:
        """List the partitions that are ours."""
        return sorted(self._accounts)

    def offsets(self) -> dict[int, int]:
        """Answer, for each of our partitions, the offset before which all is settled."""
        return {partition: account.offset for partition, account in self._accounts.items()}

    def begin(self, marks: Iterable[Mark]) -> None:
        """Start over with these partitions, and no others."""
        self._accounts = {
            mark.partition: _Account(mark.offset, read_note(mark.offset, mark.note), mark) for mark in marks
        }

    def is_settled(self, partition: int, offset: int) -> bool:
        """Tell whether a message was settled before reading began anew."""
        before = self._accounts[partition].before
        return offset < before.until and offset not in before.open

    def tried(self, partition: int, offset: int) -> Tried | None:
        """Answer how far the plan of a message was before that."""
        return self._accounts[partition].before.open.get(offset)

    def read(self, partition: int, offset: int, delivery: Delivery | None) -> None:
        """Note the next message of a partition, and whether it has to be delivered."""
        account = self._accounts[partition]
        account.position = offset + 1
        if delivery is not None:
            account.open[offset] = delivery

    def settle(self, partition: int, offset: int) -> None:
        """Note that the fate of a message is known."""
        del self._accounts[partition].open[offset]

    def news(self, note_size_max: int) -> list[Mark]:
        """Answer what is to be committed, and take it for told."""
        found = []
        for partition, account in self._accounts.items():
            mark = account.mark(partition, note_size_max)
            if mark != account.told:
                account.told = mark
                found.append(mark)
        return found

    def forget_told(self) -> None:
        """Tell everything again: what was told did not arrive."""
        for account in self._accounts.values():
            account.told = None

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that are ours no more."""
        for partition in partitions:
            self._accounts.pop(partition, None)
