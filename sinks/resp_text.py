"""This file holds the small functions with which kernels put bytes and numbers into a buffer, as RESP."""

import numpy as np

from scoring.borrowing import inlined
from sinks.keyspace import POINTS_PLACES, POINTS_SCALE

DOLLAR, STAR, MINUS, DOT, ZERO, COMMA, CR, LF = 36, 42, 45, 46, 48, 44, 13, 10
# The longest number with what stands around it: "$20\r\n" + sign, digits, point + "\r\n".
NUMBER_SIZE_MAX = 40
TRIMMED = 64
POINTS_FORM = POINTS_PLACES | TRIMMED
TENS_DIGIT = np.array([ZERO + pair // 10 for pair in range(100)], dtype=np.uint8)
ONES_DIGIT = np.array([ZERO + pair % 10 for pair in range(100)], dtype=np.uint8)
TENS = np.array([10**places for places in range(19)], dtype=np.uint64)


@inlined
def put_bytes(out, at, source, start, end):
    """Copy source[start:end]; answers where the next byte goes."""
    # Unsigned: a signed index is checked for being negative at every byte.
    target, origin = np.uintp(at), np.uintp(start)
    for index in range(np.uintp(end - start)):
        out[target + index] = source[origin + index]
    return at + end - start


@inlined
def digit_count(value):
    """Count the decimal digits of a uint64; zero has one."""
    # Most numbers are small or are times of 13 digits.
    count = 1 if value < TENS[4] else 5 if value < TENS[12] else 13
    while count < 19 and value >= TENS[count]:
        count += 1
    return count


@inlined
def put_pair(out, at, pair):
    """Write two digits."""
    out[np.uintp(at)] = TENS_DIGIT[pair]
    out[np.uintp(at + 1)] = ONES_DIGIT[pair]


@inlined
def put_digits(out, at, value, count):
    """Write exactly `count` digits of a uint64, with leading zeros."""
    end = at + count
    while count >= 8:
        # Eight at a time: the four divisions do not wait for one another.
        rest = value // np.uint64(100_000_000)
        low = np.uint32(value - rest * np.uint64(100_000_000))
        upper = low // np.uint32(10_000)
        lower = low - upper * np.uint32(10_000)
        put_pair(out, at + count - 8, upper // np.uint32(100))
        put_pair(out, at + count - 6, upper % np.uint32(100))
        put_pair(out, at + count - 4, lower // np.uint32(100))
        put_pair(out, at + count - 2, lower % np.uint32(100))
        count -= 8
        value = rest
    while count >= 2:
        rest = value // np.uint64(100)
        put_pair(out, at + count - 2, value - rest * np.uint64(100))
        count -= 2
        value = rest
    if count:
        out[np.uintp(at)] = np.uint8(ZERO) + np.uint8(value)
    return end


@inlined
def put_head(out, at, mark, count):
    """Write the head of an array (`*`) or of a bulk string (`$`)."""
    out[at] = mark
    if count < 10:
        out[at + 1] = ZERO + count
        at += 2
    elif count < 100:
        put_pair(out, at + 1, count)
        at += 3
    else:
        size = np.uint64(count)
        at = put_digits(out, at + 1, size, digit_count(size))
    out[at] = CR
    out[at + 1] = LF
    return at + 2


@inlined
def put_end(out, at):
    """Write the end of a bulk string."""
    out[at] = CR
    out[at + 1] = LF
    return at + 2


@inlined
def put_bulk(out, at, source, start, end):
    """Write source[start:end] as a bulk string."""
    at = put_head(out, at, DOLLAR, end - start)
    at = put_bytes(out, at, source, start, end)
    return put_end(out, at)


@inlined
def number_parts(units, form):
    """
    Take a number apart, as it is to be spelled.

    Args:
        units: int64, the number times ten to the power of its decimals.
        form: how many decimals; plus TRIMMED to leave out zeros at their end, and the point with them.

    Returns:
        Without its sign what stands before the point and what behind it, uint64, and the number of decimals.
    """
    places = form & (TRIMMED - 1)
    whole, part = np.uint64(-units if units < 0 else units), np.uint64(0)
    if form == POINTS_FORM:  # A division by a constant is several times faster.
        size = whole
        whole = size // np.uint64(POINTS_SCALE)
        part = size - whole * np.uint64(POINTS_SCALE)
    elif places > 0:
        size, scale = whole, TENS[places]
        whole = size // scale
        part = size - whole * scale
    if form & TRIMMED:
        if part == 0:
            places = 0
        while places > 0 and part % np.uint64(10) == 0:
            part //= np.uint64(10)
            places -= 1
    return whole, part, places


@inlined
def decimal_size(units, whole, places):
    """Count the characters of a number that number_parts took apart."""
    return (units < 0) + digit_count(whole) + (places + 1 if places > 0 else 0)


@inlined
def put_decimal(out, at, units, whole, part, places):
    """Spell a number that number_parts took apart."""
    if units < 0:
        out[at] = MINUS
        at += 1
    at = put_digits(out, at, whole, digit_count(whole))
    if places > 0:
        out[at] = DOT
        at = put_digits(out, at + 1, part, places)
    return at


@inlined
def put_number(out, at, units, form):
    """Write a number, see number_parts, as a bulk string."""
    whole, part, places = number_parts(units, form)
    at = put_head(out, at, DOLLAR, decimal_size(units, whole, places))
    return put_end(out, put_decimal(out, at, units, whole, part, places))
