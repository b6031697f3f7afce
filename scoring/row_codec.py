"""
This file holds the kernels that store and restore rows: fingerprint, row, remembered ids, orders.

A row may be stored packed: its fingerprint inverted, a bit for each word that differs from a blank row's, then
those words alone, of which a user has few. Rows are stored so; within memory they move as they are.
"""

import numpy as np
from numba import types

from scoring.borrowing import borrowing
from scoring.events import Bytes, Int64s
from scoring.jit import kernel
from scoring.kernel_types import INT, STATE, TABLES
from scoring.lookup import ladder_count
from scoring.memory import allocate, copy_words, forget_old_ids, release, size_class
from scoring.row import (
    FALLS_AT,
    ID_WORDS,
    IDS_AT,
    IDS_CAP,
    IDS_COUNT,
    NEVER,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
)
from scoring.scores import ladder_at

INTS = types.int64[::1]
MASK_BITS = 64


@borrowing
def is_told(row, blank, word):
    """Tell whether a packed row has this word; addresses of blocks mean nothing outside."""
    return word not in (IDS_AT, IDS_CAP, ORDERS_AT, ORDERS_CAP) and row[word] != blank[word]


@borrowing
def mask_words(row):
    """Answer how many words hold one bit for each word of a row."""
    return (row.shape[0] + MASK_BITS - 1) // MASK_BITS


@kernel(types.void(TABLES, STATE, INTS, types.boolean, INTS, INTS))
def measure_rows(tables, state, rows, packed, blank, start):
    """Write where each stored row begins, in words; ids that lateness has passed are forgotten before."""
    start[0] = 0
    for n in range(rows.shape[0]):
        row = state.rows[rows[n]]
        forget_old_ids(state, row, tables)
        words = row.shape[0]
        if packed:
            words = mask_words(row)
            for word in range(row.shape[0]):
                words += is_told(row, blank, word)
        words += 1 + ID_WORDS * row[IDS_COUNT] + ORDER_WORDS * row[ORDERS_COUNT]
        start[n + 1] = start[n] + words


@borrowing
def put_told(row, blank, stored, at):
    """Write a row packed; answer where it ends."""
    mask, at = at, at + mask_words(row)
    for word in range(mask, at):
        stored[word] = 0
    for word in range(row.shape[0]):
        if is_told(row, blank, word):
            stored[mask + word // MASK_BITS] |= np.int64(1) << np.int64(word % MASK_BITS)
            stored[at] = row[word]
            at += 1
    return at


@borrowing
def take_told(row, blank, stored, at):
    """Read a packed row; answer where it ends."""
    mask, at = at, at + mask_words(row)
    for word in range(row.shape[0]):
        row[word] = blank[word]
        if (stored[mask + word // MASK_BITS] >> np.int64(word % MASK_BITS)) & 1:
            row[word] = stored[at]
            at += 1
    return at


@kernel(types.void(STATE, INTS, types.boolean, INTS, INT, INTS, INTS))
def pack_rows(state, rows, packed, blank, fingerprint, start, stored):
    """Copy rows and what they remember to their places; addresses of blocks become 0."""
    for n in range(rows.shape[0]):
        row = state.rows[rows[n]]
        at = start[n] + 1
        if packed:
            stored[at - 1] = ~fingerprint
            at = put_told(row, blank, stored, at)
        else:
            stored[at - 1] = fingerprint
            stored[at : at + row.shape[0]] = row
            for word in (IDS_AT, IDS_CAP, ORDERS_AT, ORDERS_CAP):
                stored[at + word] = 0
            at += row.shape[0]
        for block, words in (
            (IDS_AT, ID_WORDS * row[IDS_COUNT]),
            (ORDERS_AT, ORDER_WORDS * row[ORDERS_COUNT]),
        ):
            stored[at : at + words] = state.pool[row[block] : row[block] + words]
            at += words


@borrowing
def restore_block(state, row, stored, at, words, at_word, cap_word):
    """Give a remembered list a block again."""
    row[at_word] = 0
    row[cap_word] = 0
    if words:
        block = allocate(state, words)
        copy_words(state.pool, block, stored, at, words)
        row[at_word] = block
        row[cap_word] = 1 << size_class(words)


@kernel(types.void(TABLES, STATE, INTS, INTS, INTS, INTS))
def unpack_rows(tables, state, rows, blank, start, stored):
    """Read stored rows back; the pool has room for twice the stored words."""
    for n in range(rows.shape[0]):
        r = rows[n]
        row = state.rows[r]
        at = start[n] + 1
        if stored[at - 1] < 0:
            at = take_told(row, blank, stored, at)
        else:
            row[:] = stored[at : at + row.shape[0]]
            at += row.shape[0]
        ids, orders = ID_WORDS * row[IDS_COUNT], ORDER_WORDS * row[ORDERS_COUNT]
        restore_block(state, row, stored, at, ids, IDS_AT, IDS_CAP)
        restore_block(state, row, stored, at + ids, orders, ORDERS_AT, ORDERS_CAP)
        due = NEVER
        for ladder in range(ladder_count(tables)):
            due = min(due, row[ladder_at(tables, ladder) + FALLS_AT])
        state.due[r] = due


@kernel(types.void(STATE, INT, INTS, INTS))
def place_lists(state, r, ids, orders):
    """Give a row its remembered ids and orders, flat as they are stored."""
    row = state.rows[r]
    restore_block(state, row, ids, 0, ids.shape[0], IDS_AT, IDS_CAP)
    restore_block(state, row, orders, 0, orders.shape[0], ORDERS_AT, ORDERS_CAP)
    row[IDS_COUNT] = ids.shape[0] // ID_WORDS
    row[ORDERS_COUNT] = orders.shape[0] // ORDER_WORDS


@kernel(types.void(STATE, INT))
def release_lists(state, r):
    """Wipe what a user is remembered by, and give the blocks back."""
    row = state.rows[r]
    for at_word, cap_word in ((IDS_AT, IDS_CAP), (ORDERS_AT, ORDERS_CAP)):
        if row[cap_word]:
            state.pool[row[at_word] : row[at_word] + row[cap_word]] = 0
            release(state, row[at_word], row[cap_word])
            row[at_word] = 0
            row[cap_word] = 0


def fingerprint_of(stored: bytes) -> int:
    """Answer the layout under which a stored row was written, packed or not."""
    first = int(np.frombuffer(stored, np.int64, 1)[0])
    return first if first >= 0 else ~first


def fingerprints_of(stored: Bytes, start: Int64s) -> Int64s:
    """Answer the same for joined rows; row n is stored[start[n]:start[n + 1]]."""
    first = stored.view(np.int64)[start[:-1] // 8]
    return np.where(first < 0, ~first, first)
