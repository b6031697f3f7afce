"""This file reads money and times from JSON text inside kernels, exactly as scoring/wire_values.py does.

Each reader answers (value, where it ended); the end is -1 where it does not understand.
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.events import Bytes, Int64s
from scoring.json_text import COLON, MINUS, NINE, PLUS, POINT, QUOTE, ZERO, is_digit
from scoring.loads import byte_at, load_word
from scoring.wire_values import AMOUNT_MINOR_MAX, EVENT_TIME_MS_MAX

WHOLE_DIGITS_MAX = 14  # With the four digits that a currency has at most: below 10^18.
TIME_DIGITS_MAX = 15


@borrowing
def read_money(text: Bytes, at: int, minor_digits: int) -> tuple[int, int]:
    """Read a number or decimal string without sign and exponent, rounded half-even to minor units."""
    quoted = text[at] == QUOTE
    if quoted:
        at += 1
    start = at
    minor = np.int64(0)
    while is_digit(text[at]):
        minor = minor * 10 + (np.int64(text[at]) - ZERO)
        at += 1
        if at - start > WHOLE_DIGITS_MAX:
            return minor, -1
    if at == start or (text[start] == ZERO and at - start > 1):
        return minor, -1
    kept = 0
    above_half = 0  # -1 the rest is below half a unit, 0 exactly half, 1 above.
    rest_seen = False
    if text[at] == POINT:
        at += 1
        if not is_digit(text[at]):
            return minor, -1
        while is_digit(text[at]):
            digit = np.int64(text[at]) - ZERO
            at += 1
            if kept < minor_digits:
                minor = minor * 10 + digit
                kept += 1
            elif not rest_seen:
                rest_seen = True
                above_half = 1 if digit > 5 else (0 if digit == 5 else -1)
            elif above_half == 0 and digit > 0:
                above_half = 1
    while kept < minor_digits:
        minor *= 10
        kept += 1
    if rest_seen and (above_half == 1 or (above_half == 0 and minor & 1 == 1)):
        minor += 1
    if quoted:
        if text[at] != QUOTE:
            return minor, -1
        at += 1
    return minor, at if minor <= AMOUNT_MINOR_MAX else -1


@inlined
def read_time(text: Bytes, at: int, minute: Int64s) -> tuple[int, int]:
    """Read whole Unix milliseconds or an RFC 3339 string; `minute` as in read_rfc3339."""
    if byte_at(text, at) == QUOTE:
        return read_rfc3339(text, at + 1, minute)
    return read_unix(text, at)


@borrowing
def read_unix(text: Bytes, at: int) -> tuple[int, int]:
    """Read whole Unix milliseconds."""
    start = at
    time_ms = np.int64(0)
    while is_digit(text[at]) and at - start < TIME_DIGITS_MAX:
        time_ms = time_ms * 10 + (np.int64(text[at]) - ZERO)
        at += 1
    if at == start or (text[start] == ZERO and at - start > 1) or time_ms > EVENT_TIME_MS_MAX:
        return time_ms, -1
    return time_ms, at


@inlined
def two_digits(text: Bytes, at: int) -> int:
    """Read two digits; far below zero when they are none."""
    tens, ones = byte_at(text, at), byte_at(text, at + 1)
    if tens < ZERO or tens > NINE or ones < ZERO or ones > NINE:
        return -1_000_000
    return (tens - ZERO) * 10 + (ones - ZERO)


@borrowing
def days_since_1970(year: int, month: int, day: int) -> int:
    """Count days in the proleptic Gregorian calendar from year 1970 on; -1 when there is no such day."""
    if year < 1970 or month < 1 or month > 12 or day < 1:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2:
        month_days = 29 if leap else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        month_days = 30
    else:
        month_days = 31
    if day > month_days:
        return -1
    # Years counted from March, so that the leap day comes last.
    marches = year if month > 2 else year - 1
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return marches * 365 + marches // 4 - marches // 100 + marches // 400 + day_of_year - 719_468


@borrowing
def minute_of(text: Bytes, at: int) -> int:
    """Read a date and a time of 16 bytes, up to the minute, as milliseconds; -1 when it is not understood."""
    year = two_digits(text, at) * 100 + two_digits(text, at + 2)
    days = days_since_1970(year, two_digits(text, at + 5), two_digits(text, at + 8))
    hour, minute = two_digits(text, at + 11), two_digits(text, at + 14)
    wrong = days < 0 or hour < 0 or hour > 23 or minute < 0 or minute > 59
    wrong = wrong or text[at + 4] != MINUS or text[at + 7] != MINUS or text[at + 10] | 32 != 116  # T, t
    if wrong or text[at + 13] != COLON:
        return np.int64(-1)
    return (days * 86_400 + hour * 3600 + minute * 60) * 1000


@inlined
def read_rfc3339(text: Bytes, at: int, minute: Int64s) -> tuple[int, int]:
    """
    Read a time up to and with its closing quote, cut to milliseconds.

    Args:
        minute: int64 (3), the last 16 bytes that `minute_of` read, as two words, and what it answered: most events are
            of the minute of the one before. Changed.
    """
    first, second = np.int64(load_word(text, at)), np.int64(load_word(text, at + 8))
    if first != minute[0] or second != minute[1]:
        minute[0], minute[1], minute[2] = first, second, minute_of(text, at)
    time_ms, at = minute[2], at + 16
    seconds = two_digits(text, at + 1)
    if time_ms < 0 or byte_at(text, at) != COLON or seconds < 0 or seconds > 59:
        return np.int64(0), -1
    time_ms += seconds * 1000
    at += 3
    if byte_at(text, at) == POINT:
        at += 1
        if not is_digit(byte_at(text, at)):
            return time_ms, -1
        place = 100
        while is_digit(byte_at(text, at)):
            time_ms += (byte_at(text, at) - ZERO) * place
            place //= 10
            at += 1
    if byte_at(text, at) | 32 == 122:  # Z, z
        at += 1
    else:
        offset_ms, at = read_offset(text, at)
        time_ms -= offset_ms
    if at < 0 or byte_at(text, at) != QUOTE or time_ms < 0 or time_ms > EVENT_TIME_MS_MAX:
        return time_ms, -1
    return time_ms, at + 1


@borrowing
def read_offset(text: Bytes, at: int) -> tuple[int, int]:
    """Read how far a local time is ahead of UTC, in milliseconds."""
    if text[at] != PLUS and text[at] != MINUS:
        return np.int64(0), -1
    hour, minute = two_digits(text, at + 1), two_digits(text, at + 4)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or text[at + 3] != COLON:
        return np.int64(0), -1
    offset_ms = (hour * 60 + minute) * 60_000
    return -offset_ms if text[at] == MINUS else offset_ms, at + 6
