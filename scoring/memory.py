"""This file holds the kernels of a user's variable memory: blocks of the pool, and remembered orders."""

from scoring.borrowing import borrowing
from scoring.row import ORDER_HASH, ORDER_TIME, ORDER_WORDS, ORDERS_AT, ORDERS_CAP, ORDERS_COUNT
from scoring.state import C_FREE

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
