"""
This file holds the bytes of a row at rest, in the store and in memory: a user has few words, and most are small.

First a bit for each word that differs from a blank row's, then those words, then remembered ids and orders. Words
come in pairs behind a byte with four bits for each: how many bytes of the word follow; or CODE_NEAR and how many of
its distance from a time, since most words are times: from the user's newest event, behind a remembered id from the
time of that one; or CODE_FIRST, the time of his first event. A hash stands as it is, in 8 bytes. Numbers are
little-endian and signed. Whoever writes or reads here has SLACK more bytes behind the end.
"""

import numpy as np

from scoring.bits import leading_zeros, trailing_zeros
from scoring.borrowing import borrowing, inlined
from scoring.event_ids import append_id, hash_at, id_time, new_ids, place_of, time_at
from scoring.loads import load_word, store_word
from scoring.memory import allocate, class_words, copy_words, size_class
from scoring.row import (
    FIRST_SEEN,
    IDS_AT,
    IDS_CAP,
    IDS_COUNT,
    NEWEST,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
)

SLACK = 8
ADDRESSES = 1 << IDS_AT | 1 << IDS_CAP | 1 << ORDERS_AT | 1 << ORDERS_CAP
CODE_NEAR, NEAR_BYTES_MAX, CODE_FIRST = 9, 5, 15
PLAIN_BYTES, WORD_BYTES = 8, 9
"""A hash takes so many, another word at most so many with its share of the code."""


@borrowing
def mask_bytes(row):
    """Answer how many bytes hold one bit for each word of a row."""
    return (row.shape[0] + 7) // 8


@borrowing
def bytes_max(row):
    """Answer how many bytes a row takes at rest at most, the slack among them."""
    ids, orders = (PLAIN_BYTES + WORD_BYTES) * row[IDS_COUNT], WORD_BYTES * ORDER_WORDS * row[ORDERS_COUNT]
    return mask_bytes(row) + WORD_BYTES * row.shape[0] + ids + orders + SLACK


@inlined
def signed_bytes(word):
    """Answer how many bytes a signed number needs; 0 for 0."""
    return ((72 - leading_zeros(word ^ (word >> 63))) >> 3) - (word == 0)


@inlined
def put_plain(out, at, word):
    """Write 8 bytes; answer where they end."""
    store_word(out, at, word)
    return at + 8


@inlined
def plain(source, at):
    """Read 8 bytes."""
    return np.int64(load_word(source, at))


@inlined
def put_word(out, at, pair, word, near_ms, first_ms):
    """Write a word; `pair` is where the first of two has its code, or -1. Answer where to go on, and the next pair."""
    size = signed_bytes(word)
    code = size
    near = signed_bytes(word - near_ms)
    if word == first_ms:
        size, code = np.int64(0), np.int64(CODE_FIRST)
    elif near < size and near <= NEAR_BYTES_MAX:
        word, size, code = word - near_ms, near, CODE_NEAR + near
    if pair >= 0:
        out[pair] |= np.uint8(code << 4)
        put_plain(out, at, word)
        return at + size, np.int64(-1)
    out[at] = np.uint8(code)
    put_plain(out, at + 1, word)
    return at + 1 + size, at


@inlined
def word_at(source, at, pair, near_ms, first_ms):
    """Read a word; answer it, where to go on, and the next pair."""
    if pair >= 0:
        code, next_pair = np.int64(source[pair]) >> 4, np.int64(-1)
    else:
        code, next_pair = np.int64(source[at]) & 15, at
        at += 1
    if code == CODE_FIRST:
        return first_ms, at, next_pair
    size = code - CODE_NEAR if code >= CODE_NEAR else code
    word = np.int64(0)
    if size:
        unused = 64 - 8 * size
        word = (plain(source, at) << unused) >> unused
    if code >= CODE_NEAR:
        word += near_ms
    return word, at + size, next_pair


@inlined
def times_before(row, word):
    """Answer the user's newest and first event if they stand before this word, which is then told by them."""
    near_ms = row[NEWEST] if word > NEWEST else np.int64(0)
    return near_ms, row[FIRST_SEEN] if word > FIRST_SEEN else np.int64(0)


@borrowing
def told_words(row, blank, first):
    """Answer a bit for each of 64 words that differs from a blank row's; addresses mean nothing outside."""
    told, words = np.int64(0), min(64, blank.shape[0] - first)
    for n in range(words):
        told |= np.int64(row[first + n] != blank[first + n]) << np.int64(n)
    return told & ~ADDRESSES if first == 0 else told


@inlined
def told_before(source, mask, first, words):
    """Read the bits of 64 words that `told_words` answered; behind the last word other bytes follow."""
    told = plain(source, mask + first // 8)
    if words - first < 64:
        told &= (np.int64(1) << np.int64(words - first)) - 1
    return told


@borrowing
def put_row(pool, row, blank, out, at):
    """Write a row and what it remembers; answer where it ends."""
    pair, mask = np.int64(-1), at
    at += mask_bytes(blank)
    for first in range(0, blank.shape[0], 64):
        put_plain(out, mask + first // 8, told_words(row, blank, first))
    for first in range(0, blank.shape[0], 64):
        told = told_before(out, mask, first, blank.shape[0])
        while told:
            word = first + trailing_zeros(told)
            told &= told - 1
            near_ms, first_ms = times_before(row, word)
            at, pair = put_word(out, at, pair, row[word], near_ms, first_ms)
    first_ms, near_id = row[FIRST_SEEN], id_time(row[NEWEST])
    for entry in range(row[IDS_COUNT]):
        place = place_of(pool, row, entry)
        at = put_plain(out, at, hash_at(pool, row, place))
        time = time_at(pool, row, place)
        at, pair = put_word(out, at, pair, time, near_id, first_ms)
        near_id = time
    for entry in range(row[ORDERS_COUNT]):
        order = row[ORDERS_AT] + ORDER_WORDS * entry
        at = put_plain(out, at, pool[order])
        for word in range(order + 1, order + ORDER_WORDS):
            at, pair = put_word(out, at, pair, pool[word], row[NEWEST], first_ms)
    return at


@borrowing
def blank_out(row, blank):
    """Make a row of work that of nobody; what is not stored is unknown."""
    copy_words(row, 0, blank, 0, blank.shape[0])
    for word in range(blank.shape[0], row.shape[0]):
        row[word] = 0


@borrowing
def take_words(row, blank, source, at):
    """Read a row's words, without what it remembers; answer where to go on, and the next pair."""
    pair, mask, words = np.int64(-1), at, blank.shape[0]
    blank_out(row, blank)
    at += mask_bytes(blank)
    for first in range(0, words, 64):
        told = told_before(source, mask, first, words)
        while told:
            word = first + trailing_zeros(told)
            told &= told - 1
            near_ms, first_ms = times_before(row, word)
            row[word], at, pair = word_at(source, at, pair, near_ms, first_ms)
    return at, pair


@borrowing
def new_orders(state, row, count):
    """Give a user a block for so many orders, none for none; answer where it begins."""
    row[ORDERS_AT] = row[ORDERS_CAP] = 0
    if count:
        words = ORDER_WORDS * count
        row[ORDERS_AT] = allocate(state, words)
        row[ORDERS_CAP] = class_words(size_class(words))
    return row[ORDERS_AT]


@borrowing
def take_row(state, row, blank, source, at):
    """Read a row and what it remembers, into blocks of the pool, which has room for them."""
    at, pair = take_words(row, blank, source, at)
    first_ms, near_id = row[FIRST_SEEN], id_time(row[NEWEST])
    count = row[IDS_COUNT]
    new_ids(state, row, count)
    for _ in range(count):
        id_hash = plain(source, at)
        near_id, at, pair = word_at(source, at + 8, pair, near_id, first_ms)
        append_id(state.pool, row, id_hash, near_id)
    first = new_orders(state, row, row[ORDERS_COUNT])
    for order in range(first, first + ORDER_WORDS * row[ORDERS_COUNT], ORDER_WORDS):
        state.pool[order] = plain(source, at)
        at += 8
        for word in range(order + 1, order + ORDER_WORDS):
            state.pool[word], at, pair = word_at(source, at, pair, row[NEWEST], first_ms)
