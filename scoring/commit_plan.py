"""This file names what a shard hands to the store: chunks of users, each to be written in one piece."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.events import Bytes, DeadLetter, Int64s, LadderChange

Ranks = NDArray[np.int8]
Homes = NDArray[np.int8]

# Where the store has a user's row: nowhere, with those about whom time can change something, or with the others.
NOWHERE, WARM, COLD = -1, 0, 1


@dataclass(frozen=True, slots=True)
class ColdCount:
    """Say how many cold users stand on each rung of each ladder, and the layout that their rows have, or soon will."""

    layout: int
    rungs: list[list[int]]

    @property
    def users(self) -> int:
        """Answer how many there are."""
        return sum(self.rungs[0]) if self.rungs else 0


@dataclass(slots=True)
class CommitChunk:
    """
    N users with all that belongs to them, written together or not at all.

    Attributes:
        user_bytes, user_start: id n is user_bytes[user_start[n]:user_start[n + 1]].
        row_bytes, row_start: the row to store, likewise.
        whole: (n,), whether every field is to be written: `seq` is not the one that the store was seen to take.
        rung: (n, ladders), ladders then tags in policy order; committed_rung: what the store has, -1 for a new user.
        home: (n,), WARM or COLD; committed_home: what the store has, NOWHERE for a new user.
        cold: all cold users of the shard once this is written; None when that has not changed.
        falls_at_ms: (n, ladders), 2**63 - 1 where there is no next fall.
        changes: of these users, each user's in `seq` order; dead_letters: messages of these users.
    """

    user_bytes: Bytes
    user_start: Int64s
    row_bytes: Bytes
    row_start: Int64s
    as_of_ms: Int64s
    seq: Int64s
    whole: NDArray[np.bool_]
    first_seen_ms: Int64s
    last_seen_ms: Int64s
    orders: Int64s
    spend_minor: Int64s
    rung: Ranks
    committed_rung: Ranks
    since_ms: Int64s
    score: NDArray[np.float64]
    falls_at_ms: Int64s
    home: Homes
    committed_home: Homes
    cold: ColdCount | None
    changes: Sequence[LadderChange]
    dead_letters: list[DeadLetter]

    def __len__(self) -> int:
        return int(self.as_of_ms.shape[0])


@dataclass(slots=True)
class CommitBlock:
    """
    Chunks that lie one behind the other in the same columns, so that a kernel takes all of them at once.

    Attributes:
        users: everybody in the block, as if it were one chunk.
        start: chunk n has the users start[n] to start[n + 1]; its columns are views.
        changes_start: likewise the changes of chunk n among those of everybody.
    """

    users: CommitChunk
    start: Int64s
    changes_start: list[int]
    chunks: list[CommitChunk]


@dataclass(slots=True)
class CommitPlan:
    """
    Everything of a shard that changed; the final write comes after every chunk of every block.

    Attributes:
        dead_letters: messages of no stored user; they ride with the final write.
        next_offset, marks: per topic; None where nothing was read yet.
    """

    partition: int
    blocks: list[CommitBlock]
    dead_letters: list[DeadLetter]
    next_offset: list[int | None]
    marks: list[int | None]
    watermark_ms: int | None

    @property
    def chunks(self) -> list[CommitChunk]:
        """Answer the chunks of all blocks."""
        return [chunk for block in self.blocks for chunk in block.chunks]
