"""This file holds what stays of users who were erased: a keyed hash, their `seq`, and how far they were read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from scoring.commit_plan import ColdCount
from scoring.events import Int64s, LadderChange

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Marker:
    """
    Keep what a user who comes back goes on from.

    Attributes:
        seq: number of the last change; the next one follows it.
        until_ms: event time of the newest event that was erased; what is not newer is old input, sent again.
        offsets: per topic, the last message decided for the shard when the user was erased.
    """

    seq: int
    until_ms: int
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    Say that a user is to leave the store.

    Attributes:
        digest: what the marker is kept under.
        marker: None for a user of whom there is nothing to keep.
        changes: the last ones of the user, without a rung to go to.
        cold: as in CommitChunk.
    """

    partition: int
    user_id: bytes
    digest: bytes
    marker: Marker | None
    changes: list[LadderChange]
    cold: ColdCount | None = None


class ErasedUsers:
    """
    Find markers by user id, which nobody can read back from them without the salt and a guess.

    Args:
        salt: the shard's secret, at most 64 bytes.
        markers: by digest.
    """

    def __init__(self, salt: bytes = b"", markers: Mapping[bytes, Marker] | None = None) -> None:
        self._salt = salt
        self._markers = dict(markers or {})
        self._until_ms: dict[int, int] = {}

    def digest(self, user_id: bytes) -> bytes:
        """Hash an id."""
        return blake2b(user_id, digest_size=DIGEST_BYTES, key=self._salt).digest()

    def mark(self, row: int, digest: bytes, marker: Marker) -> None:
        """Keep the marker of the user of a row."""
        self._markers[digest] = marker
        self._until_ms[row] = marker.until_ms

    def recall(self, users: Iterable[tuple[int, bytes]]) -> list[tuple[int, Marker]]:
        """Answer which of these rows belong to users who were erased once, and remember them."""
        if not self._markers:
            return []
        marked = [(row, self._markers.get(self.digest(user_id))) for row, user_id in users]
        found = [(row, marker) for row, marker in marked if marker is not None]
        self._until_ms |= {row: marker.until_ms for row, marker in found}
        return found

    def renumber(self, new_row: Int64s) -> None:
        """Follow users to other rows: new_row[r] is that of row r, -1 for one who is not in memory any more."""
        moved = {int(new_row[row]): until_ms for row, until_ms in self._until_ms.items()}
        self._until_ms = {row: until_ms for row, until_ms in moved.items() if row >= 0}

    def sent_again(self, rows: Int64s, event_time_ms: Int64s) -> list[int]:
        """Answer the places of messages that are not newer than the erasure of their user."""
        if not self._until_ms:
            return []
        places = np.flatnonzero(np.isin(rows, np.fromiter(self._until_ms, np.int64)))
        return [n for n in places.tolist() if event_time_ms[n] <= self._until_ms[int(rows[n])]]
