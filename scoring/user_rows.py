"""This file keeps a shard's users in memory: ids, rows, variable blocks; everything doubles as needed."""

from collections.abc import Sequence

import numpy as np

from scoring.cold_users import ColdUsers
from scoring.commit_plan import COLD, NOWHERE, WARM, Homes
from scoring.erasure import Marker
from scoring.events import Bytes, Int64s
from scoring.growing import GrowingWords
from scoring.row import FALLS_AT, FIRST_SEEN, LADDER_WORDS, NEVER, NONE, OFFSETS, RUNG, SEQ
from scoring.row_codec import (
    fingerprint_of,
    fingerprints_of,
    measure_rows,
    pack_rows,
    place_lists,
    release_lists,
    unpack_rows,
)
from scoring.state import C_DIRTY, State, new_heap
from scoring.tables import PolicyTables
from scoring.user_index import UserIndex

_ROWS_PER_PAGE = 2_000


class RowMisread(Exception):
    """A stored row was written under another layout."""


class UserRows:
    """
    Own the rows of one shard; `state` is what the kernels see and changes when memory grows.

    Attributes:
        committed_rung, committed_seq, committed_home: what the store has.
        heard: the last look (see `look`) before which a user had a message.
        cold: counts the cold users, most of whom are not here.
    """

    def __init__(self, compiled: PolicyTables, capacity: int = 1024) -> None:
        self.compiled = compiled
        self.index = UserIndex(capacity)
        self._pool = GrowingWords(max(1 << 16, 4 * compiled.pool_words_max))
        self._words = GrowingWords(capacity * compiled.layout.width)
        rows = self._words.words.reshape(capacity, -1)
        self.state = State(
            rows=rows,
            rows_f=rows.view(np.float64),
            due=np.full(capacity, NEVER, np.int64),
            dirty=np.zeros(capacity, np.uint8),
            dirty_rows=np.zeros(capacity, np.int64),
            pool=self._pool.words,
            heap=new_heap(),
            counts=np.zeros(6, np.int64),
        )
        self.committed_rung = np.full((capacity, len(compiled.policy.ladders)), -1, np.int8)
        self.committed_seq = np.full(capacity, -1, np.int64)
        self.committed_home = np.full(capacity, NOWHERE, np.int8)
        self.heard = np.zeros(capacity, np.int64)
        self.look = 0
        self.cold = ColdUsers(compiled)

    def __len__(self) -> int:
        return len(self.index)

    def rows_of(self, source: Bytes, start: Int64s, fate: np.ndarray) -> Int64s:
        """Find or add the row of each message whose fate is 0; -1 for the others."""
        known = len(self)
        rows = self.index.rows_of(source, start, fate)
        self._fit(known)
        return rows

    def row_of(self, user_id: bytes) -> int:
        """Find or add one user."""
        known = len(self)
        row = self.index.row_of(user_id)
        self._fit(known)
        return row

    def exists(self, row: int) -> bool:
        """Tell whether the user of a row has an applied event."""
        return bool(self.state.rows[row, FIRST_SEEN] != NONE)

    def grow_pool(self) -> None:
        """Double the room for remembered ids and orders."""
        self.state = self.state._replace(pool=self._pool.double())

    def ranks(self, rows: Int64s | slice) -> Int64s:
        """Answer (rows, ladders) present rungs."""
        at, ladders = self.compiled.layout.ladders_at, len(self.compiled.policy.ladders)
        return self.state.rows[rows, at + RUNG : at + LADDER_WORDS * ladders : LADDER_WORDS]

    def homes(self, rows: Int64s) -> Homes:
        """Answer where the store is to have rows whose next falls are exact: COLD without any."""
        at, ladders = self.compiled.layout.ladders_at, len(self.compiled.policy.ladders)
        if not ladders:  # Then nothing counts who is away.
            return np.full(rows.shape[0], WARM, np.int8)
        falls_at = self.state.rows[rows, at + FALLS_AT : at + LADDER_WORDS * ladders : LADDER_WORDS]
        return np.where((falls_at == NEVER).all(axis=1), COLD, WARM).astype(np.int8)

    def count_cold(self) -> None:
        """Count the cold users anew, with all of them in memory."""
        here, self.cold = slice(0, len(self)), ColdUsers(self.compiled)
        rung, nowhere = self.committed_rung[here], np.full(len(self), NOWHERE, np.int8)
        self.cold.move(self.committed_home[here], rung, nowhere, rung)

    def rung_counts(self) -> list[list[int]]:
        """Count the users on each rung of each ladder, also those who are in the store alone."""
        here = slice(0, len(self))
        present = self.ranks(here)[self.state.rows[here, FIRST_SEEN] != NONE]
        return self.cold.standing(present, self.committed_rung[here][self.committed_home[here] == COLD])

    def take_dirty(self) -> Int64s:
        """Answer the users changed since the last call."""
        count = int(self.state.counts[C_DIRTY])
        rows = self.state.dirty_rows[:count].copy()
        self.state.dirty[rows] = 0
        self.state.counts[C_DIRTY] = 0
        return rows

    def pack(self, rows: Int64s, *, packed: bool = True) -> tuple[Bytes, Int64s]:
        """Join rows, to store them packed or to move them as they are; row n is bytes[start[n]:start[n + 1]]."""
        compiled, start = self.compiled, np.empty(rows.shape[0] + 1, np.int64)
        measure_rows(compiled.tables, self.state, rows, packed, compiled.blank_row, start)
        stored = np.empty(int(start[-1]), np.int64)
        fingerprint = compiled.layout.fingerprint
        pack_rows(self.state, rows, packed, compiled.blank_row, fingerprint, start, stored)
        return stored.view(np.uint8), start * 8

    def restore(self, user_ids: Sequence[bytes], stored: Sequence[bytes], home: int = WARM) -> None:
        """
        Take stored rows back into memory.

        Args:
            home: where the store has them.

        Raises:
            RowMisread: a row's fingerprint is not this layout's.
        """
        expected, (joined, start) = self.compiled.layout.fingerprint, _joined(stored)
        misread = fingerprints_of(joined, start) != expected
        if misread.any():
            one = int(misread.argmax())
            raise RowMisread(
                f"row of user {user_ids[one]!r} has layout {fingerprint_of(stored[one]):x}, not {expected:x}"
            )
        rows = self.rows_of(*_joined(user_ids), np.zeros(len(user_ids), np.int8))
        self._unpack(rows, joined, start)
        self.committed_rung[rows] = self.ranks(rows)
        self.committed_home[rows] = home

    def kept(self, rows: Int64s) -> "UserRows":
        """Answer these users alone, in this order, in memory of their own size."""
        fresh = UserRows(self.compiled, max(1024, 1 << (rows.shape[0] - 1).bit_length()))
        for first in range(0, rows.shape[0], _ROWS_PER_PAGE):
            page = rows[first : first + _ROWS_PER_PAGE]
            to = fresh.rows_of(*self.index.spans(page), np.zeros(page.shape[0], np.int8))
            fresh._unpack(to, *self.pack(page, packed=False))
        here = slice(0, rows.shape[0])
        fresh.state.due[here], fresh.state.dirty[here] = self.state.due[rows], self.state.dirty[rows]
        dirty = np.flatnonzero(fresh.state.dirty[here])
        fresh.state.dirty_rows[: dirty.shape[0]] = dirty
        fresh.state.counts[C_DIRTY] = dirty.shape[0]
        fresh.committed_rung[here] = self.committed_rung[rows]
        fresh.committed_seq[here] = self.committed_seq[rows]
        fresh.committed_home[here] = self.committed_home[rows]
        fresh.heard[here] = self.heard[rows]
        fresh.look, fresh.cold = self.look, self.cold
        return fresh

    def remember(self, row: int, ids: Int64s, orders: Int64s) -> None:
        """Give a user his remembered ids and orders, flat as they are stored."""
        self._reserve(2 * (ids.shape[0] + orders.shape[0]) + 64)
        place_lists(self.state, row, ids, orders)

    def forget(self, row: int, marker: Marker) -> None:
        """Make a user one who has not been seen, but for what an erasure keeps."""
        release_lists(self.state, row)
        fresh = self.compiled.blank_row.copy()
        fresh[SEQ] = marker.seq
        fresh[OFFSETS : OFFSETS + self.compiled.layout.topics] = marker.offsets
        self.state.rows[row] = fresh
        self.state.due[row] = NEVER
        self.committed_rung[row] = -1
        self.committed_seq[row] = -1
        self.committed_home[row] = NOWHERE

    def _unpack(self, rows: Int64s, stored: Bytes, start: Int64s) -> None:
        self._reserve(stored.shape[0] // 4 + 64 * rows.shape[0])
        words, blank = stored.view(np.int64), self.compiled.blank_row
        unpack_rows(self.compiled.tables, self.state, rows, blank, start // 8, words)

    def _reserve(self, words: int) -> None:
        while self.state.pool.shape[0] - self.state.heap[0] < words:
            self.grow_pool()

    def _fit(self, known: int) -> None:
        """Have a blank row for everybody whom the index has learned of behind so many."""
        if self.index.capacity > self.state.rows.shape[0]:
            self._grow(self.index.capacity)
        self.state.rows[known : len(self)] = self.compiled.blank_row

    def _grow(self, capacity: int) -> None:
        state, width = self.state, self.compiled.layout.width
        while self._words.words.shape[0] < capacity * width:
            self._words.double()
        rows = self._words.words.reshape(-1, width)
        extra = rows.shape[0] - state.rows.shape[0]
        self.state = state._replace(
            rows=rows,
            rows_f=rows.view(np.float64),
            due=np.concatenate((state.due, np.full(extra, NEVER, np.int64))),
            dirty=np.concatenate((state.dirty, np.zeros(extra, np.uint8))),
            dirty_rows=np.concatenate((state.dirty_rows, np.zeros(extra, np.int64))),
        )
        self.committed_seq = np.concatenate((self.committed_seq, np.full(extra, -1, np.int64)))
        self.committed_home = np.concatenate((self.committed_home, np.full(extra, NOWHERE, np.int8)))
        self.heard = np.concatenate((self.heard, np.zeros(extra, np.int64)))
        ladders = self.committed_rung.shape[1]
        self.committed_rung = np.concatenate((self.committed_rung, np.full((extra, ladders), -1, np.int8)))


def _joined(pieces: Sequence[bytes]) -> tuple[Bytes, Int64s]:
    start = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)), out=start[1:])
    return np.frombuffer(b"".join(pieces), np.uint8).copy(), start
