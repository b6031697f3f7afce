"""This file keeps a shard's users in memory, at work or at rest; everything doubles as needed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.cold_users import ColdUsers
from scoring.commit_plan import COLD, NOWHERE, WARM, Homes, Ranks
from scoring.erasure import Marker
from scoring.events import Bytes, Int64s, TextSpans
from scoring.growing import GrowingWords
from scoring.row import FALLS_AT, FIRST_SEEN, LADDER_WORDS, NEVER, NONE, OFFSETS, RUNG, SEQ
from scoring.row_bytes import SLACK
from scoring.row_codec import (
    fingerprint_of,
    fingerprints_of,
    fold_rows,
    open_rows,
    pack_rows,
    packed_bytes_max,
    place_lists,
    restore_rows,
    wipe_lists,
)
from scoring.state import BLANK, C_DIRTY, C_FREE, C_VACANT, State, new_heap
from scoring.tables import PolicyTables
from scoring.user_index import UserIndex

_ROWS_PER_PAGE = 2_000
_PLACES = 1024


class RowMisread(Exception):
    """A stored row was written under another layout."""


class UserRows:
    """
    Own the users of one shard; `state` is what the kernels see and changes when memory grows.

    A user is known by a number, his row. Only who is at work has one of wide words in memory, which is what the kernels
    of scoring take for granted; all others rest in a tenth of that.

    Attributes:
        committed_rung, committed_seq, committed_home: what the store has.
        heard: the last look (see `look`) before which a user had a message.
        cold: counts the cold users, most of whom are not here.
    """

    def __init__(self, compiled: PolicyTables, capacity: int = 1024) -> None:
        self.compiled = compiled
        self.index = UserIndex(capacity)
        self._blank = compiled.blank_row[: compiled.layout.width]  # as far as it is stored
        self._pool = GrowingWords(max(1 << 16, 4 * compiled.pool_words_max))
        self._words = GrowingWords(_PLACES * compiled.layout.work_width)
        rows = self._words.words.reshape(_PLACES, -1)
        self.state = State(
            rows=rows,
            rows_f=rows.view(np.float64),
            vacant=np.arange(_PLACES)[::-1].copy(),
            place=np.full(capacity, BLANK, np.int64),
            due=np.full(capacity, NEVER, np.int64),
            dirty=np.zeros(capacity, np.uint8),
            dirty_rows=np.zeros(capacity, np.int64),
            pool=self._pool.words,
            pool_bytes=self._pool.words.view(np.uint8),
            heap=new_heap(),
            counts=np.zeros(8, np.int64),
        )
        self.state.counts[C_VACANT] = _PLACES
        self.committed_rung = np.full((capacity, len(compiled.policy.ladders)), -1, np.int8)
        self.committed_seq = np.full(capacity, -1, np.int64)
        self.committed_home = np.full(capacity, NOWHERE, np.int8)
        self.heard = np.zeros(capacity, np.int64)
        self.look = 0
        self.cold = ColdUsers(compiled)

    def __len__(self) -> int:
        return len(self.index)

    def rows_of(self, users: TextSpans, hashed: Int64s, fate: np.ndarray) -> Int64s:
        """Find or add the row of each message whose fate is 0, -1 for the others; put them all to work."""
        rows = self._with_room(self.index.rows_of(users, hashed, fate))
        self.put_to_work(rows)
        return rows

    def row_of(self, user_id: bytes) -> int:
        """Find or add one user, and put him to work."""
        rows = self._rows_of(*_joined([user_id]))
        self.put_to_work(rows)
        return int(rows[0])

    def put_to_work(self, rows: Int64s) -> None:
        """Have wide rows for these users; -1 is nobody."""
        position, room = 0, self.compiled.pool_words_max
        while True:
            position = open_rows(self.state, rows, position, self._blank, room)
            if position == rows.shape[0]:
                return
            place = self.state.place[rows[position]]
            self._reserve(max(room, int(self.state.pool[~place]) if place < BLANK else 0))
            if not self.state.counts[C_VACANT]:
                self._grow_places()

    def lay_to_rest(self, rows: Int64s) -> None:
        """Fold these users, who are at work and whom the store has as they are here."""
        for first in range(0, rows.shape[0], _ROWS_PER_PAGE):
            page = rows[first : first + _ROWS_PER_PAGE]
            self._reserve(packed_bytes_max(self.state, page) // 4 + 16 * page.shape[0])
            fold_rows(self.compiled.tables, self.state, page, self._blank)

    def is_roomy(self, at_least: int) -> bool:
        """Tell whether most of the memory taken is not used any more, and is that of twice so many wide rows."""
        state, width = self.state, self.compiled.layout.work_width
        unused = state.counts[C_VACANT] * width + state.counts[C_FREE]
        return bool(unused > max(2 * at_least * width, (state.rows.size + state.heap[0]) // 2))

    @property
    def at_work(self) -> NDArray[np.bool_]:
        """Tell of each user whether he has a wide row."""
        return self.state.place[: len(self)] >= 0

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Tell of each user whether he has an applied event."""
        place = self.state.place[: len(self)]
        seen = place < BLANK
        seen[place >= 0] = self.state.rows[place[place >= 0], FIRST_SEEN] != NONE
        return seen

    def exists(self, row: int) -> bool:
        """Tell whether the user of a row has an applied event."""
        place = self.state.place[row]
        return bool(place < BLANK or (place > BLANK and self.state.rows[place, FIRST_SEEN] != NONE))

    def own(self, row: int) -> Int64s:
        """Answer the words of a user at work, to read and to write."""
        return self.state.rows[self.state.place[row]]

    def word(self, rows: Int64s, at: int) -> Int64s:
        """Answer one word of each of these users, who are at work."""
        return self.state.rows[self.state.place[rows], at]

    def ladder_word(self, rows: Int64s, at: int) -> Int64s:
        """Answer (rows, ladders) one word of each ladder of these users, who are at work."""
        first, ladders = self.compiled.layout.ladders_at, len(self.compiled.policy.ladders)
        return self.state.rows[
            self.state.place[rows], first + at : first + LADDER_WORDS * ladders : LADDER_WORDS
        ]

    def grow_pool(self) -> None:
        """Double the room for remembered ids, orders, and users at rest."""
        pool = self._pool.double()
        self.state = self.state._replace(pool=pool, pool_bytes=pool.view(np.uint8))

    def ranks(self, rows: Int64s) -> Int64s:
        """Answer (rows, ladders) present rungs of users at work."""
        return self.ladder_word(rows, RUNG)

    def homes(self, rows: Int64s) -> Homes:
        """Answer where the store is to have rows whose next falls are exact: COLD without any."""
        if not self.compiled.policy.ladders:  # Then nothing counts who is away.
            return np.full(rows.shape[0], WARM, np.int8)
        return np.where((self.ladder_word(rows, FALLS_AT) == NEVER).all(axis=1), COLD, WARM).astype(np.int8)

    def count_cold(self) -> None:
        """Count the cold users anew, with all of them in memory."""
        here, self.cold = slice(0, len(self)), ColdUsers(self.compiled)
        rung, nowhere = self.committed_rung[here], np.full(len(self), NOWHERE, np.int8)
        self.cold.move(self.committed_home[here], rung, nowhere, rung)

    def rung_counts(self) -> list[list[int]]:
        """Count the users on each rung of each ladder, also those who are in the store alone."""
        here = slice(0, len(self))
        present, working = self.committed_rung[here].copy(), np.flatnonzero(self.at_work)
        present[working] = self.ranks(working)
        is_cold = self.committed_home[here] == COLD
        return self.cold.standing(present[self.seen], self.committed_rung[here][is_cold])

    @property
    def dirty_count(self) -> int:
        """Count the users changed since `take_dirty`."""
        return int(self.state.counts[C_DIRTY])

    def take_dirty(self) -> Int64s:
        """Answer the users changed since the last call."""
        count = int(self.state.counts[C_DIRTY])
        rows = self.state.dirty_rows[:count].copy()
        self.state.dirty[rows] = 0
        self.state.counts[C_DIRTY] = 0
        return rows

    def pack(self, rows: Int64s) -> tuple[Bytes, Int64s]:
        """Join rows as they are stored; row n is bytes[start[n]:start[n + 1]]."""
        stored, start = self._packed(rows)
        return stored[: int(start[-1])], start

    def _packed(self, rows: Int64s) -> tuple[Bytes, Int64s]:
        """Join rows, with SLACK and more behind them."""
        compiled, start = self.compiled, np.empty(rows.shape[0] + 1, np.int64)
        stored = np.empty(packed_bytes_max(self.state, rows), np.uint8)
        fingerprint = compiled.layout.fingerprint
        pack_rows(compiled.tables, self.state, rows, self._blank, fingerprint, stored, start)
        return stored, start

    def restore(self, user_ids: Sequence[bytes], stored: Sequence[bytes], home: int = WARM) -> None:
        """
        Take stored rows back into memory; whoever is not at work is left at rest.

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
        rows = self._rows_of(*_joined(user_ids))
        self.committed_rung[rows] = self._restore(rows, joined, start)
        self.committed_home[rows] = home

    def kept(self, rows: Int64s) -> "UserRows":
        """Answer these users alone, in this order, at work or at rest as they are here, in memory of their own size."""
        fresh = UserRows(self.compiled, max(1024, 1 << (rows.shape[0] - 1).bit_length()))
        for first in range(0, rows.shape[0], _ROWS_PER_PAGE):
            page = rows[first : first + _ROWS_PER_PAGE]
            to = fresh._rows_of(*self.index.spans(page))
            fresh._restore(to, *self._packed(page))
            fresh.put_to_work(to[self.state.place[page] >= 0])
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
        """Give a user at work his remembered ids and orders, flat as the pool has them."""
        self._reserve(2 * (ids.shape[0] + orders.shape[0]) + 64)
        place_lists(self.state, row, ids, orders)

    def forget(self, row: int, marker: Marker) -> None:
        """Make a user at work one who has not been seen, but for what an erasure keeps."""
        wipe_lists(self.state, row)
        fresh = self.compiled.blank_row.copy()
        fresh[SEQ] = marker.seq
        fresh[OFFSETS : OFFSETS + self.compiled.layout.topics] = marker.offsets
        self.own(row)[:] = fresh
        self.state.due[row] = NEVER
        self.committed_rung[row] = -1
        self.committed_seq[row] = -1
        self.committed_home[row] = NOWHERE

    def _rows_of(self, source: Bytes, start: Int64s) -> Int64s:
        return self._with_room(self.index.rows_of_ids(source, start))

    def _with_room(self, rows: Int64s) -> Int64s:
        """Answer rows that were just found, with room for them in all columns."""
        if self.index.capacity > self.state.place.shape[0]:
            self._grow(self.index.capacity)
        return rows

    def _restore(self, rows: Int64s, stored: Bytes, start: Int64s) -> Ranks:
        """Take joined rows, with room for SLACK behind them; answer the rungs."""
        self._reserve(stored.shape[0] + 64 * rows.shape[0])
        compiled = self.compiled
        rungs = np.empty((rows.shape[0], len(compiled.policy.ladders)), np.int8)
        restore_rows(compiled.tables, self.state, rows, self._blank, stored, start, rungs)
        return rungs

    def _reserve(self, words: int) -> None:
        while self.state.pool.shape[0] - self.state.heap[0] < words:
            self.grow_pool()

    def _grow_places(self) -> None:
        """Double the wide rows; each stays where it is."""
        state, width = self.state, self.compiled.layout.work_width
        count, vacant = state.rows.shape[0], int(state.counts[C_VACANT])
        rows = self._words.double().reshape(-1, width)
        fresh = np.arange(count, rows.shape[0])[::-1]
        free = np.concatenate((fresh, state.vacant[:vacant], np.zeros(count - vacant, np.int64)))
        self.state = state._replace(rows=rows, rows_f=rows.view(np.float64), vacant=free)
        state.counts[C_VACANT] += count

    def _grow(self, capacity: int) -> None:
        """Have room for so many users in all columns."""
        state = self.state
        extra = capacity - state.place.shape[0]
        self.state = state._replace(
            place=np.concatenate((state.place, np.full(extra, BLANK, np.int64))),
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
    return np.frombuffer(b"".join((*pieces, bytes(SLACK))), np.uint8).copy(), start
