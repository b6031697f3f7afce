"""This file holds the kernels of a user's variable memory: blocks, remembered event ids and orders."""

import numpy as np

from scoring.borrowing import borrowing
from scoring.lookup import limit
from scoring.row import (
    ID_TIME_BITS,
    ID_WORDS,
    IDS_AT,
    IDS_CAP,
    IDS_COUNT,
    NEWEST,
    ORDER_HASH,
    ORDER_TIME,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
)
from scoring.state import C_FREE, C_IDS_EVICTED
from scoring.tables import M_IDS, M_LATENESS

CLASS_WORDS, FINE_CLASSES = 8, 64


@borrowing
def size_class(words):
    """Number the block size that holds so many words: up to 512 in steps of 8, then powers of two."""
    if words <= CLASS_WORDS * FINE_CLASSES:
        return max(1, (words + CLASS_WORDS - 1) // CLASS_WORDS)
    found = FINE_CLASSES + 1
    while class_words(found) < words:
        found += 1
    return found


@borrowing
def class_words(kind):
    """Answer how many words a block of a size has."""
    if kind <= FINE_CLASSES:
        return CLASS_WORDS * kind
    return (CLASS_WORDS * FINE_CLASSES) << (kind - FINE_CLASSES)


@borrowing
def allocate(state, words):
    """Take a block of at least so many words; the caller has made sure that the pool has room."""
    kind = size_class(words)
    block = state.heap[1 + kind]
    if block:
        state.heap[1 + kind] = state.pool[block]
        state.counts[C_FREE] -= class_words(kind)
        return block
    block = state.heap[0]
    state.heap[0] = block + class_words(kind)
    return block


@borrowing
def release(state, block, words):
    """Give a block back to the free list of its size."""
    kind = size_class(words)
    state.pool[block] = state.heap[1 + kind]
    state.heap[1 + kind] = block
    state.counts[C_FREE] += class_words(kind)


@borrowing
def copy_words(target, at, source, start, words):
    """Copy words one by one; a slice would make a new array when source and target may overlap."""
    for word in range(words):
        target[at + word] = source[start + word]


@borrowing
def grow(state, row, at_word, cap_word, used_words, words):
    """Move a list into a block of at least so many words; `cap` is kept in words."""
    block = allocate(state, words)
    old = row[at_word]
    copy_words(state.pool, block, state.pool, old, used_words)
    if row[cap_word]:
        release(state, old, row[cap_word])
    row[at_word] = block
    row[cap_word] = class_words(size_class(words))


@borrowing
def id_time(time_ms):
    """Answer a time as ids are remembered by it, a little over a minute a unit; up, so that none is forgotten early."""
    return -(-time_ms >> ID_TIME_BITS)


@borrowing
def has_id(pool, at, count, id_hash):
    """Look for a hash among so many remembered ids, four at a time: most events are new."""
    # Unsigned: a signed index is checked for being negative each time.
    here, step, four = np.uintp(at), np.uintp(ID_WORDS), np.uintp(4 * ID_WORDS)
    end = here + step * np.uintp(count)
    while here + four <= end:
        first, second = pool[here] == id_hash, pool[here + step] == id_hash
        third, fourth = pool[here + step + step] == id_hash, pool[here + step + step + step] == id_hash
        if (first | second) | (third | fourth):
            return True
        here += four
    while here < end:
        if pool[here] == id_hash:
            return True
        here += step
    return False


@borrowing
def remembers_id(state, row, tables, id_hash):
    """Tell whether an applied event with this id is remembered: within the allowed lateness of the user's newest."""
    if not has_id(state.pool, row[IDS_AT], row[IDS_COUNT], id_hash):
        return False
    oldest = id_time(row[NEWEST] - limit(tables, M_LATENESS))
    at = row[IDS_AT]
    for entry in range(row[IDS_COUNT]):
        if state.pool[at + ID_WORDS * entry] == id_hash and state.pool[at + ID_WORDS * entry + 1] >= oldest:
            return True
    return False


@borrowing
def forget_old_ids(state, row, tables):
    """Drop the ids that lateness has passed, keeping the order of the others."""
    oldest = id_time(row[NEWEST] - limit(tables, M_LATENESS))
    at, kept = row[IDS_AT], 0
    for entry in range(row[IDS_COUNT]):
        if state.pool[at + ID_WORDS * entry + 1] >= oldest:
            state.pool[at + ID_WORDS * kept] = state.pool[at + ID_WORDS * entry]
            state.pool[at + ID_WORDS * kept + 1] = state.pool[at + ID_WORDS * entry + 1]
            kept += 1
    row[IDS_COUNT] = kept


@borrowing
def remember_id(state, row, tables, id_hash, event_time_ms):
    """Remember an applied event; beyond the bound the id that was applied first is forgotten, and counted."""
    ids_max = limit(tables, M_IDS)
    if row[IDS_COUNT] >= ids_max or ID_WORDS * (row[IDS_COUNT] + 1) > row[IDS_CAP]:
        forget_old_ids(state, row, tables)
        count = row[IDS_COUNT]
        at = row[IDS_AT]
        if count >= ids_max:
            for word in range(at, at + ID_WORDS * (count - 1)):
                state.pool[word] = state.pool[word + ID_WORDS]
            row[IDS_COUNT] = count - 1
            state.counts[C_IDS_EVICTED] += 1
        elif ID_WORDS * (count + 1) * 4 > row[IDS_CAP] * 3:
            grow(state, row, IDS_AT, IDS_CAP, ID_WORDS * count, max(ID_WORDS * (count + 1), 2 * row[IDS_CAP]))
    at = row[IDS_AT] + ID_WORDS * row[IDS_COUNT]
    state.pool[at] = id_hash
    state.pool[at + 1] = id_time(event_time_ms)
    row[IDS_COUNT] += 1


@borrowing
def find_order(state, row, memory_ms, order_hash, event_time_ms):
    """Answer where the newest remembered order with this id stands in the pool, or -1."""
    at = row[ORDERS_AT]
    for entry in range(row[ORDERS_COUNT] - 1, -1, -1):
        order = at + ORDER_WORDS * entry
        if (
            state.pool[order + ORDER_HASH] == order_hash
            and event_time_ms - state.pool[order + ORDER_TIME] <= memory_ms
        ):
            return order
    return -1


@borrowing
def forget_first_order(state, row):
    """Drop the order that was applied first; the caller has folded it into what cannot be undone."""
    at, count = row[ORDERS_AT], row[ORDERS_COUNT]
    for word in range(at, at + ORDER_WORDS * (count - 1)):
        state.pool[word] = state.pool[word + ORDER_WORDS]
    row[ORDERS_COUNT] = count - 1


@borrowing
def append_order(state, row, order_hash, event_time_ms, amount_minor, match, type_number):
    """Remember an order behind the others."""
    count = row[ORDERS_COUNT]
    needed = ORDER_WORDS * (count + 1)
    if needed > row[ORDERS_CAP]:
        grow(state, row, ORDERS_AT, ORDERS_CAP, ORDER_WORDS * count, needed)
    at = row[ORDERS_AT] + ORDER_WORDS * count
    state.pool[at] = order_hash
    state.pool[at + 1] = event_time_ms
    state.pool[at + 2] = amount_minor
    state.pool[at + 3] = match
    state.pool[at + 4] = type_number
    row[ORDERS_COUNT] = count + 1
