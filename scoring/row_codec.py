"""
This file holds the kernels that move rows between rest and work.

A user at work has a row of wide words, a user at rest a block of the pool with the row's bytes, see row_bytes.py. The
store has the same bytes behind the fingerprint of their layout.
"""

import numpy as np
from numba import types

from scoring.borrowing import borrowing
from scoring.event_ids import (
    append_id,
    fetch_all_ids,
    forget_old_ids,
    hash_at,
    ids_words,
    new_ids,
    place_of,
    release_ids,
    time_at,
)
from scoring.events import Bytes, Int64s
from scoring.jit import kernel
from scoring.kernel_types import INT, STATE, TABLES
from scoring.lookup import ladder_count
from scoring.memory import allocate, copy_words, release
from scoring.prefetch import prefetch
from scoring.row import (
    FALLS_AT,
    ID_WORDS,
    IDS_AT,
    IDS_COUNT,
    LINE_WORDS,
    NEVER,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
    RUNG,
)
from scoring.row_bytes import (
    SLACK,
    blank_out,
    bytes_max,
    new_orders,
    put_plain,
    put_row,
    take_row,
    take_words,
)
from scoring.scores import ladder_at
from scoring.state import BLANK, C_VACANT

INTS, BYTES = types.int64[::1], types.uint8[::1]
FINGERPRINT_BYTES = 8
AHEAD = 8  # So many users before a kernel comes to one at rest, the first bytes are fetched.
LINE_BYTES, LINES_AHEAD = 64, 6


@borrowing
def block_words(size):
    """Answer how many words a block needs for so many bytes: their number first, then the bytes."""
    return 1 + (size + 7) // 8


@borrowing
def fetch_work(state, rows, n):
    """Have brought near what is to be read soon of users at work: their rows first, then what they remember."""
    if n + AHEAD < rows.shape[0] and state.place[rows[n + AHEAD]] >= 0:
        width = state.rows.shape[1]
        first = state.place[rows[n + AHEAD]] * width
        for word in range(first, first + width, LINE_WORDS):
            prefetch(state.rows, word)
    if n + AHEAD // 2 < rows.shape[0] and state.place[rows[n + AHEAD // 2]] >= 0:
        fetch_all_ids(state.pool, state.rows[state.place[rows[n + AHEAD // 2]]])


@borrowing
def fetch_rest(state, rows, n):
    """Have brought near what is to be read soon of a user at rest."""
    if n + AHEAD < rows.shape[0]:
        r = rows[n + AHEAD]
        if r >= 0 and state.place[r] < BLANK:
            for line in range(LINES_AHEAD):
                prefetch(state.pool_bytes, 8 * ~state.place[r] + LINE_BYTES * line)


@borrowing
def give_lists_back(state, row):
    """Release the blocks of what a user is remembered by."""
    release_ids(state, row)
    if row[ORDERS_CAP]:
        release(state, row[ORDERS_AT], row[ORDERS_CAP])
        row[ORDERS_AT] = row[ORDERS_CAP] = 0


@kernel(INT(STATE, INTS))
def packed_bytes_max(state, rows):
    """Answer how many bytes these rows take at most when they are joined."""
    total = SLACK
    for n in range(rows.shape[0]):
        place = state.place[rows[n]]
        total += FINGERPRINT_BYTES
        total += bytes_max(state.rows[place]) if place >= 0 else state.pool[~place]
    return total


@kernel(types.void(TABLES, STATE, INTS, INTS, INT, BYTES, INTS))
def pack_rows(tables, state, rows, blank, fingerprint, stored, start):
    """Join rows as the store has them; ids that lateness has passed are forgotten before."""
    at = 0
    for n in range(rows.shape[0]):
        fetch_rest(state, rows, n)
        fetch_work(state, rows, n)
        start[n] = at
        place = state.place[rows[n]]
        at = put_plain(stored, at, fingerprint)
        if place >= 0:
            row = state.rows[place]
            forget_old_ids(state, row, tables)
            at = put_row(state.pool, row, blank, stored, at)
        else:
            first = 8 * (~place + 1)
            for byte in range(state.pool[~place]):
                stored[at + byte] = state.pool_bytes[first + byte]
            at += state.pool[~place]
    start[rows.shape[0]] = at


@kernel(types.void(TABLES, STATE, INTS, INTS))
def fold_rows(tables, state, rows, blank):
    """Lay users at work to rest; the pool has room for all of their bytes."""
    size_max = 0
    for n in range(rows.shape[0]):
        size_max = max(size_max, bytes_max(state.rows[state.place[rows[n]]]))
    scratch = np.empty(block_words(size_max), np.int64)
    scratch_bytes = scratch.view(np.uint8)
    for n in range(rows.shape[0]):
        r = rows[n]
        place = state.place[r]
        row = state.rows[place]
        forget_old_ids(state, row, tables)
        size = put_row(state.pool, row, blank, scratch_bytes, np.int64(8)) - 8
        scratch[0] = size
        give_lists_back(state, row)
        words = block_words(size)
        block = allocate(state, words)
        copy_words(state.pool, block, scratch, 0, words)
        state.place[r] = ~block
        state.vacant[state.counts[C_VACANT]] = place
        state.counts[C_VACANT] += 1


@borrowing
def rest_words_max(state, r):
    """Answer how many words of the pool a user takes at most when put to work: as many as he has bytes at rest."""
    return state.pool[~state.place[r]] if state.place[r] < BLANK else 0


@kernel(INT(STATE, INTS, INT, INTS, INT))
def open_rows(state, rows, start, blank, room):
    """
    Put users to work, from place `start` on; answer the place it stopped at.

    It stops early when no row is vacant or the pool has less than `room` words, or less than a user needs who remembers
    more than is remembered now: the caller makes room and calls again.

    Args:
        rows: users, -1 for nobody; some may be at work already, some named twice.
    """
    for n in range(start, rows.shape[0]):
        fetch_rest(state, rows, n)
        r = rows[n]
        if r < 0 or state.place[r] >= 0:
            continue
        free = state.pool.shape[0] - state.heap[0]
        if not state.counts[C_VACANT] or free < room or free < rest_words_max(state, r):
            return n
        state.counts[C_VACANT] -= 1
        place = state.vacant[state.counts[C_VACANT]]
        row = state.rows[place]
        if state.place[r] == BLANK:
            blank_out(row, blank)
        else:
            block = ~state.place[r]
            take_row(state, row, blank, state.pool_bytes, 8 * (block + 1))
            release(state, block, block_words(state.pool[block]))
        state.place[r] = place
    return rows.shape[0]


@kernel(types.void(TABLES, STATE, INTS, INTS, BYTES, INTS, types.int8[:, ::1]))
def restore_rows(tables, state, rows, blank, stored, start, rungs):
    """
    Read stored rows back: whoever is not at work stays at rest. The pool has room for eight times their bytes.

    Args:
        stored, start: row n is stored[start[n]:start[n + 1]], with SLACK behind the last.
        rungs: int8 (n, ladders), written.
    """
    words = np.empty(state.rows.shape[1], np.int64)
    for n in range(rows.shape[0]):
        r, first = rows[n], start[n] + FINGERPRINT_BYTES
        row = words
        if state.place[r] >= 0:
            row = state.rows[state.place[r]]
            take_row(state, row, blank, stored, first)
        else:
            take_words(row, blank, stored, first)
            size = start[n + 1] - first
            block = allocate(state, block_words(size))
            state.pool[block] = size
            for byte in range(size):
                state.pool_bytes[8 * (block + 1) + byte] = stored[first + byte]
            state.place[r] = ~block
        due = NEVER
        for ladder in range(ladder_count(tables)):
            at = ladder_at(tables, ladder)
            rungs[n, ladder] = row[at + RUNG]
            due = min(due, row[at + FALLS_AT])
        state.due[r] = due


@kernel(types.void(STATE, INT, INTS, INTS))
def place_lists(state, r, ids, orders):
    """Give a user at work remembered ids, as `list_ids` answers them, and orders, flat as the pool has them."""
    row = state.rows[state.place[r]]
    count = ids.shape[0] // ID_WORDS
    new_ids(state, row, count)
    for entry in range(count):
        append_id(state.pool, row, ids[ID_WORDS * entry], ids[ID_WORDS * entry + 1])
    first = new_orders(state, row, orders.shape[0] // ORDER_WORDS)
    copy_words(state.pool, first, orders, 0, orders.shape[0])
    row[ORDERS_COUNT] = orders.shape[0] // ORDER_WORDS


@kernel(INTS(STATE, INT))
def list_ids(state, r):
    """Answer a user's remembered ids, who is at work: hash and time of each, in the order of applying."""
    row = state.rows[state.place[r]]
    ids = np.empty(ID_WORDS * row[IDS_COUNT], np.int64)
    for entry in range(row[IDS_COUNT]):
        place = place_of(state.pool, row, entry)
        ids[ID_WORDS * entry] = hash_at(state.pool, row, place)
        ids[ID_WORDS * entry + 1] = time_at(state.pool, row, place)
    return ids


@kernel(types.void(STATE, INT))
def wipe_lists(state, r):
    """Overwrite what a user at work is remembered by, and give the blocks back."""
    row = state.rows[state.place[r]]
    state.pool[row[IDS_AT] : row[IDS_AT] + ids_words(row)] = 0
    state.pool[row[ORDERS_AT] : row[ORDERS_AT] + row[ORDERS_CAP]] = 0
    give_lists_back(state, row)


def fingerprint_of(stored: bytes) -> int:
    """Answer the layout under which a stored row was written."""
    return int.from_bytes(stored[:FINGERPRINT_BYTES], "little", signed=True)


def fingerprints_of(stored: Bytes, start: Int64s) -> Int64s:
    """Answer the same for joined rows; row n is stored[start[n]:start[n + 1]]."""
    first = stored[start[:-1, np.newaxis] + np.arange(FINGERPRINT_BYTES)]
    return np.ascontiguousarray(first).view(np.int64)[:, 0]
