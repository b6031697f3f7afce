"""This file numbers the fields of a native message and finds them by their keys inside kernels."""

from itertools import accumulate

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.events import Bytes
from scoring.loads import load_word

KEYS = (
    *("event_id", "user_id", "type", "event_time", "order_id", "amount", "discount_amount", "item_launch_at"),
    *("item_id", "category", "channel", "scene", "coupon_id"),
)
EVENT_ID, USER_ID, TYPE, EVENT_TIME, ORDER_ID, AMOUNT, DISCOUNT, LAUNCH = 0, 1, 2, 3, 4, 5, 6, 7
ITEM_AGE = 13  # Not on the wire: event time less launch.
UNKNOWN = 14
FIELDS = 15
KEY_SIZE_MAX = 15

# Keys by size, each as two little-endian words, and masks that cut two loaded words to a size.
BY_SIZE = sorted(range(len(KEYS)), key=lambda number: len(KEYS[number]))
CANDIDATE = np.array(BY_SIZE, np.int64)
FIRST_OF_SIZE = np.array(
    [0, *accumulate(sum(len(key) == size for key in KEYS) for size in range(KEY_SIZE_MAX + 1))], np.int64
)
LOW_WORD = np.array([int.from_bytes(KEYS[number].encode()[:8], "little") for number in BY_SIZE], np.uint64)
HIGH_WORD = np.array([int.from_bytes(KEYS[number].encode()[8:], "little") for number in BY_SIZE], np.uint64)
LOW_MASK = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(KEY_SIZE_MAX + 1)], np.uint64)
HIGH_MASK = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(KEY_SIZE_MAX + 1)], np.uint64)


def _with_quote(number: int) -> bytes:
    """Answer a field's key with the quote that ends it; nothing where there is no key."""
    return KEYS[number].encode() + b'"' if number < len(KEYS) else b""


# The same by field, with the closing quote. What is no key is compared with a word that masks to no text.
KEY_SIZE = np.array([max(len(_with_quote(number)) - 1, 0) for number in range(FIELDS)], np.int64)
KEY_LOW, KEY_HIGH, KEY_LOW_MASK, KEY_HIGH_MASK = np.zeros((4, FIELDS), np.uint64)
for _number in range(FIELDS):
    _key = _with_quote(_number)
    KEY_LOW[_number] = int.from_bytes(_key[:8], "little") if _key else 1
    KEY_HIGH[_number] = int.from_bytes(_key[8:], "little")
    KEY_LOW_MASK[_number] = (1 << 8 * min(len(_key), 8)) - 1
    KEY_HIGH_MASK[_number] = (1 << 8 * max(len(_key) - 8, 0)) - 1


@inlined
def is_key(text: Bytes, at: int, field: int) -> bool:
    """Tell whether the key that begins here, with its closing quote, is that of a field."""
    number = np.uintp(field)
    low, high = load_word(text, at) & KEY_LOW_MASK[number], load_word(text, at + 8) & KEY_HIGH_MASK[number]
    return low == KEY_LOW[number] and high == KEY_HIGH[number]


@borrowing
def field_of(text: Bytes, at: int, size: int) -> int:
    """Tell which field a key without escapes names; UNKNOWN for any other."""
    if size > KEY_SIZE_MAX:
        return UNKNOWN
    low = load_word(text, at) & LOW_MASK[size]
    high = load_word(text, at + 8) & HIGH_MASK[size]
    for candidate in range(FIRST_OF_SIZE[size], FIRST_OF_SIZE[size + 1]):
        if low == LOW_WORD[candidate] and high == HIGH_WORD[candidate]:
            return CANDIDATE[candidate]
    return UNKNOWN
