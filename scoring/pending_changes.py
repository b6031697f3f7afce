"""This file keeps the changes that a shard has made since its last commit, and gives each chunk its own."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from scoring.change_columns import ChangeColumns, Floats, names_of
from scoring.events import Bytes, Int64s, LadderChange, TextSpans
from scoring.state import C_CHANGES, CHANGE_WORDS, X_EVENT, X_ROW, Changes
from scoring.tables import PolicyTables
from scoring.text_spans import NO_BYTES, gathered
from scoring.user_rows import UserRows

CauseIds = Callable[[Int64s], tuple[Bytes, Int64s]]
"""Join the ids of messages, given by their places, and answer their sizes; a place below 0 has an empty one."""


class _Block(NamedTuple):
    """What one pass of a kernel made; `causes` are the ids of the events that caused it, empty for none."""

    facts: Int64s
    score: Floats
    values: Floats
    points: Floats
    cause_bytes: Bytes
    cause_size: Int64s


class PendingChanges:
    """
    Hold changes with the rows of their users, each user's in `seq` order.

    Those of a policy change have names of a policy that is gone; they are few, and come before all others.
    """

    def __init__(self, compiled: PolicyTables) -> None:
        capacity = 4096 + compiled.changes_max
        self.arrays = Changes(
            facts=np.zeros((capacity, CHANGE_WORDS), np.int64),
            score=np.zeros(capacity),
            values=np.zeros((capacity, compiled.parts_max)),
            points=np.zeros((capacity, compiled.parts_max)),
        )
        self._policy = compiled.policy.label
        self._names = names_of(compiled.policy)
        self._blocks: list[_Block] = []
        self._named: list[tuple[int, LadderChange]] = []

    def __len__(self) -> int:
        return len(self._named) + sum(block.cause_size.shape[0] for block in self._blocks)

    def collect(self, counts: Int64s, cause_ids: CauseIds) -> None:
        """Take over what a kernel has put into `arrays`, before the messages that caused it are gone."""
        count = int(counts[C_CHANGES])
        counts[C_CHANGES] = 0
        if not count:
            return
        made, facts = self.arrays, self.arrays.facts[:count].copy()
        numbers = made.score[:count].copy(), made.values[:count].copy(), made.points[:count].copy()
        self._blocks.append(_Block(facts, *numbers, *cause_ids(facts[:, X_EVENT])))

    def renumber(self, new_row: Int64s) -> None:
        """Follow users to other rows: new_row[r] is that of row r."""
        for block in self._blocks:
            block.facts[:, X_ROW] = new_row[block.facts[:, X_ROW]]
        self._named = [(int(new_row[row]), change) for row, change in self._named]

    def listed(self, users: UserRows) -> list[tuple[int, LadderChange]]:
        """Answer (row, change) for all of them."""
        facts, columns = self._columns(users, None)
        return [*self._named, *zip(facts[:, X_ROW].tolist(), columns, strict=True)]

    def adopt(self, changes: Sequence[tuple[int, LadderChange]]) -> None:
        """Take over changes that were made under a former policy."""
        assert not self._blocks, "a former policy's changes come before all others"
        self._named += changes

    def name(self, users: UserRows, left: Mapping[str, tuple[str, int]]) -> None:
        """Say of what was collected last from which rung it leads, where this policy has no such rung."""
        if not self._blocks:
            return
        named = self.listed(users)[len(self._named) :]
        self._named += [(row, _from_rung(change, left)) for row, change in named]
        self._blocks = []

    def take(self, users: UserRows, rows: Int64s, cuts: Int64s) -> tuple[Sequence[LadderChange], list[int]]:
        """
        Answer all changes in the order of the rows of their users, and start over.

        Returns:
            With them where those of each chunk rows[cuts[n]:cuts[n + 1]] begin, and where the last one's end.
        """
        place = np.full(len(users), -1, np.int64)
        place[rows] = np.arange(rows.shape[0])
        changes: Sequence[LadderChange]
        if self._named:
            pairs = sorted(
                ((int(place[row]), change) for row, change in self.listed(users)), key=itemgetter(0)
            )
            places, changes = np.array([at for at, _ in pairs]), [change for _, change in pairs]
        else:
            facts, changes = self._columns(users, place)
            places = place[facts[:, X_ROW]]
        assert (places >= 0).all(), "a change of a user who is not written"
        self._blocks, self._named = [], []
        return changes, np.searchsorted(places, cuts).tolist()

    def _columns(self, users: UserRows, place: Int64s | None) -> tuple[Int64s, ChangeColumns]:
        """Join the blocks, sorted by the place of each row if there is one; answer the facts with rows, too."""
        none, made = np.empty(0, np.int64), self.arrays
        empty = _Block(made.facts[:0], made.score[:0], made.values[:0], made.points[:0], NO_BYTES, none)
        blocks = zip(*(*self._blocks, empty), strict=True)
        facts, score, values, points, cause_bytes, cause_size = map(np.concatenate, blocks)
        cause_from = np.cumsum(cause_size) - cause_size
        if place is not None:
            order = np.argsort(place[facts[:, X_ROW]], kind="stable")
            facts, score, values, points, cause_from, cause_size = (
                column[order] for column in (facts, score, values, points, cause_from, cause_size)
            )
        ids = users.index.spans(np.ascontiguousarray(facts[:, X_ROW]))
        causes = gathered(TextSpans(cause_bytes, NO_BYTES, cause_from, cause_size))
        columns = (facts, score, values, points)
        return facts, ChangeColumns(self._policy, self._names, *columns, *ids, *causes)


def _from_rung(change: LadderChange, left: Mapping[str, tuple[str, int]]) -> LadderChange:
    if change.ladder not in left:
        return change
    name, rank = left[change.ladder]
    return replace(change, from_rung=name, from_rank=rank)
