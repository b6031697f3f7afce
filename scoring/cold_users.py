"""This file counts a shard's cold users: those about whom nothing can change but by a message."""

import numpy as np

from scoring.commit_plan import COLD, ColdCount, Homes, Ranks
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
        return [self._counts[number, :rungs].tolist() for number, rungs in enumerate(self._rungs)]

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

    def _count(self, ranks: Ranks, step: int) -> None:
        """Count each user on each ladder; -1 is no rung."""
        users, ladders = np.nonzero(ranks >= 0)
        np.add.at(self._counts, (ladders, ranks[users, ladders]), step)
