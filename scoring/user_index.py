"""This file finds a user's row: an open-addressing table over ids that are compared byte by byte."""

import numpy as np
from numba import types

from scoring.borrowing import borrowing
from scoring.events import Bytes, Int64s, TextSpans
from scoring.hashing import hash_bytes
from scoring.jit import kernel
from scoring.prefetch import prefetch
from scoring.text_spans import NO_BYTES, apart, gathered

EMPTY = -1
READ_ONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
INTS = types.int64[::1]


@borrowing
def same_id(arena, at, source, start, size):
    """Compare two ids of the same length."""
    for i in range(size):
        if arena[at + i] != source[start + i]:
            return False
    return True


AHEAD = (
    24  # Messages; the slot is fetched so far ahead, then at two thirds and one third of it what it leads to.
)


@borrowing
def fetch_ahead(i, row, slots, hashes, id_start, arena):
    """Have brought near what the messages to come will look at; `row` holds their hashes."""
    mask = slots.shape[0] - 1
    if i + AHEAD < row.shape[0]:
        prefetch(slots, row[i + AHEAD] & mask)
    if i + AHEAD * 2 // 3 < row.shape[0]:
        r = slots[row[i + AHEAD * 2 // 3] & mask]
        if r != EMPTY:
            prefetch(hashes, r)
            prefetch(id_start, r)
    if i + AHEAD // 3 < row.shape[0]:
        r = slots[row[i + AHEAD // 3] & mask]
        if r != EMPTY:
            prefetch(arena, id_start[r])


@kernel(types.int64(READ_ONLY_BYTES, INTS, types.int8[::1], INTS, INTS, INTS, INTS, types.uint8[::1], INTS))
def find_rows(source, start, fate, row, slots, hashes, id_start, arena, counts):
    """
    Find or add the user of each message; answer the message it stopped at because there was no room.

    Args:
        source, start: message i's id is source[start[i]:start[i + 1]]; messages with a fate get row -1.
        row: int64 (messages), written; behind the present message it holds hashes.
        slots: int64 (a power of two), row number or -1. Linear probing, at most half full.
        hashes, id_start: int64 (rows), (rows + 1): the id of row r is arena[id_start[r]:id_start[r + 1]].
        counts: int64 (2): rows in use, first message to look at.
    """
    mask = slots.shape[0] - 1
    for i in range(counts[1], row.shape[0]):
        row[i] = hash_bytes(source, start[i], start[i + 1])
    for i in range(counts[1], row.shape[0]):
        fetch_ahead(i, row, slots, hashes, id_start, arena)
        hashed = row[i]
        row[i] = EMPTY
        if fate[i] != 0:
            continue
        size = start[i + 1] - start[i]
        slot = hashed & mask
        while slots[slot] != EMPTY:
            r = slots[slot]
            if hashes[r] == hashed and id_start[r + 1] - id_start[r] == size:
                if same_id(arena, id_start[r], source, start[i], size):
                    break
            slot = (slot + 1) & mask
        if slots[slot] == EMPTY:
            r = counts[0]
            if r >= hashes.shape[0] or id_start[r] + size > arena.shape[0]:
                return i
            slots[slot] = r
            hashes[r] = hashed
            arena[id_start[r] : id_start[r] + size] = source[start[i] : start[i + 1]]
            id_start[r + 1] = id_start[r] + size
            counts[0] = r + 1
        row[i] = slots[slot]
    return row.shape[0]


@kernel(types.void(INTS, INTS, types.int64))
def rebuild_slots(slots, hashes, rows):
    """Enter the first `rows` hashes into an empty table."""
    mask = slots.shape[0] - 1
    for r in range(rows):
        slot = hashes[r] & mask
        while slots[slot] != EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = r


class UserIndex:
    """Number the users of a shard from 0 in the order they are first seen."""

    def __init__(self, capacity: int = 1024) -> None:
        self._hashes = np.zeros(capacity, np.int64)
        self._starts = np.zeros(capacity + 1, np.int64)
        self._arena = np.zeros(16 * capacity, np.uint8)
        self._slots = np.full(2 * capacity, EMPTY, np.int64)
        self._counts = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return int(self._counts[0])

    @property
    def capacity(self) -> int:
        """How many rows there is room for; it doubles as needed."""
        return int(self._hashes.shape[0])

    def rows_of(self, source: Bytes, start: Int64s, fate: np.ndarray) -> Int64s:
        """Find or add the user of each message whose fate is 0; -1 for the others."""
        row = np.empty(fate.shape[0], np.int64)
        self._counts[1] = 0
        while True:
            stopped = self._find(source, start, fate, row)
            if stopped == row.shape[0]:
                return row
            self._counts[1] = stopped
            self._grow(int(start[stopped + 1] - start[stopped]))

    def _find(self, source: Bytes, start: Int64s, fate: np.ndarray, row: Int64s) -> int:
        state = (self._slots, self._hashes, self._starts, self._arena, self._counts)
        return int(find_rows(source, start, fate, row, *state))

    def row_of(self, user_id: bytes) -> int:
        """Find or add one user."""
        source = np.frombuffer(user_id, np.uint8)
        return int(self.rows_of(source, np.array([0, len(user_id)], np.int64), np.zeros(1, np.int8))[0])

    def user(self, row: int) -> bytes:
        """Answer the id of a row."""
        return self._arena[self._starts[row] : self._starts[row + 1]].tobytes()

    def users_from(self, row: int) -> list[bytes]:
        """Answer the ids of this row and all behind it."""
        return apart(self._arena, self._starts[row : len(self) + 1])

    def spans(self, rows: Int64s) -> tuple[Bytes, Int64s]:
        """Join the ids of some rows; id n is bytes[start[n]:start[n + 1]]."""
        first = self._starts[rows]
        return gathered(TextSpans(self._arena, NO_BYTES, first, self._starts[rows + 1] - first))

    def _grow(self, id_size: int) -> None:
        rows = len(self)
        if rows >= self.capacity:
            self._hashes = np.resize(self._hashes, 2 * self._hashes.shape[0])
            self._starts = np.resize(self._starts, 2 * self._starts.shape[0])
            self._slots = np.full(2 * self._slots.shape[0], EMPTY, np.int64)
            rebuild_slots(self._slots, self._hashes, rows)
        if self._starts[rows] + id_size > self._arena.shape[0]:
            self._arena = np.resize(self._arena, 2 * self._arena.shape[0] + id_size)
