"""This file turns ids into 64-bit numbers that are stored, so what it answers must never change."""

import numpy as np
from numba import types

from scoring.borrowing import borrowing, inlined
from scoring.events import Bytes, Int64s
from scoring.jit import kernel
from scoring.loads import load_word

# Unsigned constants throughout: numba makes uint64 with a signed operand a float.
SEED = np.uint64(0x9E3779B97F4A7C15)
LENGTH_FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)
WORD_FACTOR = np.uint64(0x87C37B91114253D5)
WORD_FACTOR_2 = np.uint64(0x4CF5AD432745937F)
ROUND_FACTOR = np.uint64(0x9FB21C651E98DF25)
ROUND_ADDEND = np.uint64(0x52DCE72938495AB5)
FINAL_FACTOR = np.uint64(0xFF51AFD7ED558CCD)
FINAL_FACTOR_2 = np.uint64(0xC4CEB9FE1A85EC53)
S8, S27, S31, S33, S37 = (np.uint64(bits) for bits in (8, 27, 31, 33, 37))
NO_BITS = np.uint64(0)
TAIL_MASK = np.array([(1 << 8 * size) - 1 for size in range(8)], np.uint64)


@borrowing
def load_tail(source: Bytes, at: int, end: int) -> np.uint64:
    """Read the up to 7 bytes before `end`, zero above them."""
    word = NO_BITS
    for i in range(end - 1, at - 1, -1):
        word = (word << S8) | np.uint64(source[i])
    return word


@inlined
def mix(state: np.uint64, word: np.uint64) -> np.uint64:
    """Fold 8 more bytes into the state, a bijection of each for a fixed other."""
    word *= WORD_FACTOR
    word = ((word >> S33) | (word << S31)) * WORD_FACTOR_2
    state ^= word
    return ((state << S27) | (state >> S37)) * ROUND_FACTOR + ROUND_ADDEND


@inlined
def finish(state: np.uint64) -> np.int64:
    """Answer the hash; never 0, which means that there is no id."""
    state = (state ^ (state >> S33)) * FINAL_FACTOR
    state = (state ^ (state >> S33)) * FINAL_FACTOR_2
    answer = np.int64(state ^ (state >> S33))
    return answer if answer != 0 else np.int64(1)


@borrowing
def hash_bytes(source: Bytes, start: int, end: int) -> np.int64:
    """Hash source[start:end] to 64 bits."""
    state = SEED ^ (np.uint64(end - start) * LENGTH_FACTOR)
    at = start
    while at + 8 <= end:
        state = mix(state, load_word(source, at))
        at += 8
    if at < end:
        state = mix(state, load_tail(source, at, end))
    return finish(state)


@inlined
def hash_text(text: Bytes, start: int, end: int) -> np.int64:
    """Hash the same from a text that goes on behind it for 8 bytes at least."""
    state = SEED ^ (np.uint64(end - start) * LENGTH_FACTOR)
    at = start
    while at + 8 <= end:
        state = mix(state, load_word(text, at))
        at += 8
    if at < end:
        state = mix(state, load_word(text, at) & TAIL_MASK[np.uintp(end - at)])
    return finish(state)


@kernel(types.int64[::1](types.Array(types.uint8, 1, "C", readonly=True), types.int64[::1], types.int64[::1]))
def hash_spans(source: Bytes, start: Int64s, end: Int64s) -> Int64s:
    """
    Hash each source[start[i]:end[i]].

    Words of 8 bytes go through a multiply-rotate round each, then Murmur3's finaliser.
    """
    hashes = np.empty(start.shape[0], np.int64)
    for i in range(start.shape[0]):
        hashes[i] = hash_bytes(source, start[i], end[i])
    return hashes
