"""This file walks JSON text byte by byte inside kernels; each step answers where it ended, or -1.

-1 means "not understood": the caller hands the message to the checked path. So these steps may refuse good
text, but never accept what scoring/wire.py would refuse or read differently. Every message in the buffer is
followed by a zero byte, which is legal nowhere: no step can leave its message, so none checks an end.
"""

import numpy as np

from scoring.bits import trailing_zeros
from scoring.borrowing import borrowing, inlined
from scoring.events import Bytes
from scoring.loads import LOOK_BYTES, byte_at, stop_bits

QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, POINT = 34, 92, 44, 58, 45, 43, 46
OBJECT, OBJECT_END, ARRAY, ARRAY_END = 123, 125, 91, 93
ZERO, NINE = 48, 57
DEPTH_MAX = 32


@inlined
def after_space(text: Bytes, at: int) -> int:
    """Pass over white space; there may be none."""
    byte = byte_at(text, at)
    while byte <= 32 and (byte == 32 or byte == 10 or byte == 13 or byte == 9):
        at += 1
        byte = byte_at(text, at)
    return at


@inlined
def string_end(text: Bytes, at: int, escapes: bool) -> int:
    """Find the closing quote of the string that begins at `at`; escapes are refused unless allowed."""
    stops = stop_bits(text, at)
    if stops:
        end = at + trailing_zeros(stops)
        if byte_at(text, end) == QUOTE:
            return end
    return rare_string_end(text, at, escapes)


@borrowing
def rare_string_end(text: Bytes, at: int, escapes: bool) -> int:
    """Find it where the string is long, or not of printable ASCII alone."""
    while True:
        stops = stop_bits(text, at)
        if not stops:
            at += LOOK_BYTES
            continue
        at += trailing_zeros(stops)
        if text[at] == QUOTE:
            return at
        if text[at] >= 128:
            at = after_utf8(text, at)
        elif escapes and text[at] == BACKSLASH:
            at = after_escape(text, at)
        else:
            return -1
        if at < 0:
            return -1


@borrowing
def after_utf8(text: Bytes, at: int) -> int:
    """Pass over characters beyond ASCII: shortest form, no surrogates, up to U+10FFFF."""
    while text[at] >= 0x80:
        lead = text[at]
        if lead < 0xC2 or lead > 0xF4:
            return -1
        lowest, highest = 0x80, 0xBF
        if lead == 0xE0:
            lowest = 0xA0
        elif lead == 0xED:
            highest = 0x9F
        elif lead == 0xF0:
            lowest = 0x90
        elif lead == 0xF4:
            highest = 0x8F
        if text[at + 1] < lowest or text[at + 1] > highest:
            return -1
        at += 2
        if lead >= 0xE0:
            if text[at] & 0xC0 != 0x80:
                return -1
            at += 1
        if lead >= 0xF0:
            if text[at] & 0xC0 != 0x80:
                return -1
            at += 1
    return at


@borrowing
def after_escape(text: Bytes, at: int) -> int:
    """Pass over one escape, or the two of a surrogate pair."""
    kind = text[at + 1]
    if kind != 117:  # u
        simple = kind in (QUOTE, BACKSLASH, 47, 98, 102, 110, 114, 116)  # and / b f n r t
        return at + 2 if simple else -1
    unit = hex4(text, at + 2)
    if unit < 0 or (unit >= 0xDC00 and unit <= 0xDFFF):
        return -1
    if unit < 0xD800 or unit > 0xDFFF:
        return at + 6
    if text[at + 6] != BACKSLASH or text[at + 7] != 117:
        return -1
    low = hex4(text, at + 8)
    return at + 12 if low >= 0xDC00 and low <= 0xDFFF else -1


@borrowing
def hex4(text: Bytes, at: int) -> int:
    """Read four hexadecimal digits."""
    number = 0
    for i in range(at, at + 4):
        digit = np.int64(text[i])
        if digit >= ZERO and digit <= NINE:
            digit -= ZERO
        else:
            digit = (digit | 32) - 87
            if digit < 10 or digit > 15:
                return -1
        number = number * 16 + digit
    return number


@inlined
def is_digit(byte: int) -> bool:
    """Tell whether a byte is 0 to 9."""
    return byte >= ZERO and byte <= NINE


@borrowing
def after_number(text: Bytes, at: int) -> int:
    """Pass over a number of any length."""
    if text[at] == MINUS:
        at += 1
    if not is_digit(text[at]):
        return -1
    first, at = text[at], at + 1
    while is_digit(text[at]):
        if first == ZERO:
            return -1
        at += 1
    if text[at] == POINT:
        at += 1
        if not is_digit(text[at]):
            return -1
        while is_digit(text[at]):
            at += 1
    if text[at] | 32 == 101:  # e, E
        at += 1
        if text[at] == PLUS or text[at] == MINUS:
            at += 1
        if not is_digit(text[at]):
            return -1
        while is_digit(text[at]):
            at += 1
    return at


@borrowing
def after_scalar(text: Bytes, at: int) -> int:
    """Pass over a string, number, true, false or null."""
    first = text[at]
    if first == QUOTE:
        end = string_end(text, at + 1, True)
        return end + 1 if end >= 0 else -1
    if first == 110 and text[at + 1] == 117 and text[at + 2] == 108 and text[at + 3] == 108:
        return at + 4
    if first == 116 and text[at + 1] == 114 and text[at + 2] == 117 and text[at + 3] == 101:
        return at + 4
    if (
        first == 102
        and text[at + 1] == 97
        and text[at + 2] == 108
        and text[at + 3] == 115
        and text[at + 4] == 101
    ):
        return at + 5
    return after_number(text, at)


@borrowing
def after_key(text: Bytes, at: int) -> int:
    """Pass over a key of any content, its colon and the space up to the value."""
    at = after_space(text, at)
    if text[at] != QUOTE:
        return -1
    at = string_end(text, at + 1, True)
    if at < 0:
        return -1
    at = after_space(text, at + 1)
    return after_space(text, at + 1) if text[at] == COLON else -1


@borrowing
def after_value(text: Bytes, at: int) -> int:
    """Pass over any value, nested up to DEPTH_MAX; bit d of `objects` tells whether level d is an object."""
    depth, objects = 0, 0
    while True:
        opener = text[at]
        if opener in (OBJECT, ARRAY):
            inside = after_space(text, at + 1)
            if text[inside] == opener + 2:  # Both closing brackets are 2 above their opening one.
                at = inside + 1
            else:
                if depth == DEPTH_MAX:
                    return -1
                objects = objects << 1 | (opener == OBJECT)
                depth += 1
                at = after_key(text, inside) if opener == OBJECT else inside
                if at < 0:
                    return -1
                continue
        else:
            at = after_scalar(text, at)
            if at < 0:
                return -1
        while depth > 0:
            at = after_space(text, at)
            if text[at] == COMMA:
                break
            if text[at] != (OBJECT_END if objects & 1 else ARRAY_END):
                return -1
            at += 1
            objects >>= 1
            depth -= 1
        if depth == 0:
            return at
        at = after_key(text, at + 1) if objects & 1 else after_space(text, at + 1)
        if at < 0:
            return -1
