"""This file finds a user's row: an open-addressing table over ids that are compared byte by byte."""

import numpy as np
from numba import types

from scoring.borrowing import borrowing_kernel, inlined
from scoring.events import TEXT_SLACK, Bytes, Int64s, TextSpans
from scoring.hashing import NO_BITS, hash_spans
from scoring.jit import kernel
from scoring.loads import load_word
from scoring.prefetch import prefetch
from scoring.text_spans import NO_BYTES, NO_TEXT, apart, gathered

EMPTY = -1
READ_ONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
INTS = types.int64[::1]
WORD_BYTES = 8
REST_MASK = np.array([(1 << 8 * size) - 1 for size in range(WORD_BYTES)], np.uint64)


@inlined
def same_id(arena, at, source, start, size):
    """Compare two ids of the same length a word at a time; TEXT_SLACK bytes stand behind both."""
    while size >= WORD_BYTES:
        if load_word(arena, at) != load_word(source, start):
            return False
        at += WORD_BYTES
        start += WORD_BYTES
        size -= WORD_BYTES
    return (load_word(arena, at) ^ load_word(source, start)) & REST_MASK[np.uintp(size)] == NO_BITS


AHEAD = (
    24  # Messages; the slot is fetched so far ahead, then at two thirds and one third of it what it leads to.
)


@inlined
def fetch_ahead(i, hashed, slots, hashes, id_start, arena):
    """Have brought near what the messages to come will look at."""
    mask = slots.shape[0] - 1
    if i + AHEAD < hashed.shape[0]:
        prefetch(slots, hashed[i + AHEAD] & mask)
    if i + AHEAD * 2 // 3 < hashed.shape[0]:
        r = slots[np.uintp(hashed[i + AHEAD * 2 // 3] & mask)]
        if r != EMPTY:
            prefetch(hashes, r)
            prefetch(id_start, r)
    if i + AHEAD // 3 < hashed.shape[0]:
        r = slots[np.uintp(hashed[i + AHEAD // 3] & mask)]
        if r != EMPTY:
            prefetch(arena, id_start[np.uintp(r)])


@borrowing_kernel(
    types.int64(
        *(READ_ONLY_BYTES, READ_ONLY_BYTES, INTS, INTS, INTS, types.int8[::1]),
        *(INTS, INTS, INTS, INTS, types.uint8[::1], INTS),
    )
)
def find_rows(text, extra, at, sizes, hashed, fate, row, slots, hashes, id_start, arena, counts):
    """
    Find or add the user of each message; answer the message it stopped at because there was no room.

    Args:
        text, extra, at, sizes: the ids, as TextSpans has them; messages with a fate get row -1.
        hashed: int64 (messages), of the ids.
        row: int64 (messages), written.
        slots: int64 (a power of two), row number or -1. Linear probing, at most half full.
        hashes, id_start: int64 (rows), (rows + 1): the id of row r is arena[id_start[r]:id_start[r + 1]].
        counts: int64 (2): rows in use, first message to look at.
    """
    mask = slots.shape[0] - 1
    for i in range(counts[1], row.shape[0]):
        fetch_ahead(i, hashed, slots, hashes, id_start, arena)
        row[i] = EMPTY
        if fate[i] != 0:
            continue
        source, start = (text, at[i]) if at[i] >= 0 else (extra, -1 - at[i])
        size, slot = sizes[i], np.uintp(hashed[i] & mask)
        while slots[slot] != EMPTY:
            r = np.uintp(slots[slot])
            if hashes[r] == hashed[i] and id_start[r + np.uintp(1)] - id_start[r] == size:
                if same_id(arena, id_start[r], source, start, size):
                    break
            slot = (slot + np.uintp(1)) & np.uintp(mask)
        if slots[slot] == EMPTY:
            new = counts[0]
            if new >= hashes.shape[0] or id_start[new] + size + TEXT_SLACK > arena.shape[0]:
                return i
            slots[slot] = new
            hashes[new] = hashed[i]
            for place in range(size):
                arena[id_start[new] + place] = source[start + place]
            id_start[new + 1] = id_start[new] + size
            counts[0] = new + 1
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

    def rows_of(self, users: TextSpans, hashed: Int64s, fate: np.ndarray) -> Int64s:
        """Find or add the user of each message whose fate is 0, by id and hash; -1 for the others."""
        row = np.empty(fate.shape[0], np.int64)
        self._counts[1] = 0
        while True:
            stopped = self._find(users, hashed, fate, row)
            if stopped == row.shape[0]:
                return row
            self._counts[1] = stopped
            self._grow(int(users.size[stopped]))

    def _find(self, users: TextSpans, hashed: Int64s, fate: np.ndarray, row: Int64s) -> int:
        state = (self._slots, self._hashes, self._starts, self._arena, self._counts)
        return int(find_rows(*users, hashed, fate, row, *state))

    def rows_of_ids(self, source: Bytes, start: Int64s) -> Int64s:
        """Find or add users, id n is source[start[n]:start[n + 1]]; TEXT_SLACK bytes stand behind the last."""
        spans = TextSpans(source, NO_TEXT, start[:-1].copy(), np.diff(start))
        hashed = hash_spans(source, start[:-1], start[1:])
        return self.rows_of(spans, hashed, np.zeros(start.shape[0] - 1, np.int8))

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
        if self._starts[rows] + id_size + TEXT_SLACK > self._arena.shape[0]:
            self._arena = np.resize(self._arena, 2 * self._arena.shape[0] + id_size)
