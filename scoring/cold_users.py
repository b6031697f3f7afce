"""This file counts a shard's cold users: those about whom nothing can change but by a message."""

import numpy as np

from scoring.commit_plan import COLD, ColdCount, Homes, Ranks
from scoring.events import Int64s
from scoring.tables import PolicyTables


class ColdUsers:
    """
    Count the users whose rows the store has apart, by rung, since most of them are not in memory.

    Attributes:
        away: how many of them are in the store alone.
    """

    def __init__(self, compiled: PolicyTables) -> None:
        self._layout = compiled.layout.fingerprint
        self._rungs = [len(ladder.rungs) for ladder in compiled.policy.ladders]
        self._counts = np.zeros((len(self._rungs), max(self._rungs, default=1)), np.int64)
        self.away = 0

    @property
    def rungs(self) -> list[list[int]]:
        """Answer how many stand on each rung, ladder by ladder."""
        return self._by_ladder(self._counts.tolist())

    def count(self) -> ColdCount:
        """Answer how many there are, in the store."""
        return ColdCount(self._layout, self.rungs)

    def resume(self, count: ColdCount) -> None:
        """Go on from what the store says; none of them is in memory."""
        if not count.users:  # Perhaps of another policy.
            return
        for number, users in enumerate(count.rungs):
            self._counts[number, : len(users)] = users
        self.away = count.users

    def move(self, home: Homes, rung: Ranks, came_from: Homes, left: Ranks) -> bool:
        """
        Count users who are written; tell whether any of them is or was cold.

        Args:
            home, rung: (n,), (n, ladders), what is written; came_from, left: what the store has.
        """
        is_cold, was_cold = home == COLD, came_from == COLD
        self._count(rung[is_cold], 1)
        self._count(left[was_cold], -1)
        return bool(is_cold.any() or was_cold.any())

    def move_in_parts(
        self, home: Homes, rung: Ranks, came_from: Homes, left: Ranks, start: Int64s
    ) -> list[ColdCount | None]:
        """
        Count users who are written part by part.

        Args:
            home, rung, came_from, left: of `move`.
            start: part n has the users start[n] to start[n + 1], at least one.

        Returns:
            How many cold users there are behind each part in which any is or was cold, None behind the others.
        """
        parts = start.shape[0] - 1
        part_of = np.repeat(np.arange(parts), np.diff(start))
        is_cold, was_cold = home == COLD, came_from == COLD
        counts = self._counts_of(part_of[is_cold], rung[is_cold], parts)
        counts -= self._counts_of(part_of[was_cold], left[was_cold], parts)
        counts = self._counts + np.cumsum(counts, axis=0)
        self._counts = counts[-1]
        is_recounted = np.logical_or.reduceat(is_cold | was_cold, start[:-1])
        return [
            ColdCount(self._layout, self._by_ladder(counted)) if is_new else None
            for counted, is_new in zip(counts.tolist(), is_recounted.tolist(), strict=True)
        ]

    def standing(self, present: Ranks, rung: Ranks) -> list[list[int]]:
        """
        Answer how many users of the shard stand on each rung.

        Args:
            present: (n, ladders), rungs of all who are in memory.
            rung: (m, ladders), rungs on which the store has the cold ones of them.
        """
        counts = self._counts
        self._counts = counts.copy()
        self._count(present, 1)
        self._count(rung, -1)
        found, self._counts = self.rungs, counts
        return found

    def _by_ladder(self, counts: list[list[int]]) -> list[list[int]]:
        return [counted[:rungs] for counted, rungs in zip(counts, self._rungs, strict=True)]

    def _counts_of(self, part_of: Int64s, ranks: Ranks, parts: int) -> Int64s:
        """Answer (parts, ladders, rungs) users; -1 is no rung."""
        ladders, rungs = self._counts.shape
        user, ladder = np.nonzero(ranks >= 0)
        place = (part_of[user] * ladders + ladder) * rungs + ranks[user, ladder]
        return np.bincount(place, minlength=parts * ladders * rungs).reshape(parts, ladders, rungs)

    def _count(self, ranks: Ranks, step: int) -> None:
        """Count each user on each ladder; -1 is no rung."""
        users, ladders = np.nonzero(ranks >= 0)
        np.add.at(self._counts, (ladders, ranks[users, ladders]), step)
