"""
This file holds the kernels that render changes as messages of the change topic.

A message is a row of slots, each a fragment of change_wording and what follows it: a number, a time, an id. As in
profile_kernel all of one form go through one place, since a call for every field takes long to compile.
"""

import numpy as np

from scoring.borrowing import borrowing_kernel, inlined
from scoring.row import NEVER
from scoring.state import (
    X_AT,
    X_CAUSE,
    X_FALLS_AT,
    X_FROM,
    X_LADDER,
    X_PREVIOUS_SINCE,
    X_SEQ,
    X_TO,
)
from sinks import change_wording as words
from sinks.keyspace import POINTS_SCALE, TIME_MS_MAX, TIME_MS_MIN
from sinks.resp_text import DOT, MINUS, ZERO, digit_count, put_bytes, put_digits, put_pair

DAY_MS = 86_400_000
# What follows a fragment.
NOTHING, WHOLE, DECIMAL, TIME, USER, CAUSE, USER_PACKED, ID_PACKED, TIME_PACKED, VALUE_PACKED = range(10)
SLOTS_WITHOUT_PARTS, SLOTS_PER_PART = 20, 2
# The heads of byte strings in MessagePack.
BIN_8, BIN_16, BIN_32 = 0xC4, 0xC5, 0xC6
TIME_SIZE = 24
# Below it six decimals make at most 15 digits, which is what a float keeps apart from its neighbours.
NUMBER_MAX = 1e9
# The longest of the forms but ids: a sign, 16 digits, a point.
FORM_SIZE_MAX = 30
PLACES = 6
LETTER_E, LETTER_T, LETTER_Z, COLON, QUOTE, BACKSLASH, SPACE = 101, 84, 90, 58, 34, 92, 32


@inlined
def fill(slots, change, slot, fragment, form, number):
    """Set one slot; answers the next."""
    slots[change, slot, 0] = fragment
    slots[change, slot, 1] = form
    slots[change, slot, 2] = number
    return slot + 1


@inlined
def millionths(number):
    """Round as sinks.keyspace.points_rounded does, in millionths."""
    return np.int64(np.rint(number * POINTS_SCALE))


@inlined
def is_plain(text, first, last):
    """Tell whether a text stands in JSON as it is."""
    for at in range(first, last):
        if text[at] < SPACE or text[at] == QUOTE or text[at] == BACKSLASH:
            return False
    return True


@borrowing_kernel(
    "void(int64[:,:,::1], int64[::1], boolean[::1], int64[:,::1], float64[::1], float64[:,::1], float64[:,::1],"
    " uint8[::1], int64[::1], uint8[::1], int64[::1], int64[:,:,::1], int64[:,::1], int64[:,::1], int64[:,::1],"
    " float64[:,::1], int64[:,:,::1], int64[::1], int64[::1])"
)
def fill_changes(
    slots,
    count,
    plain,
    facts,
    score,
    values,
    points,
    user_bytes,
    user_start,
    cause_bytes,
    cause_start,
    cause,
    from_rung,
    to_rung,
    next_rung,
    enter_at,
    part,
    parts,
    rungs,
):
    """
    Lay out the messages.

    Args:
        slots: int64 (changes, slots, 3), set from slot 0 on: fragment, form and number of what follows it.
        count: int64 (changes), set to the number of slots.
        plain: bool (changes), set to whether this can be rendered: no text needs an escape, no number is huge.
        facts to cause_start: of ChangeColumns.
        cause to rungs: of ChangeWording.
    """
    for n in range(facts.shape[0]):
        ladder, target, left = facts[n, X_LADDER], facts[n, X_TO], facts[n, X_FROM]
        direction = words.UP if target > left else words.DOWN
        has_cause = np.int64(cause_start[n + 1] > cause_start[n])
        fits = is_plain(user_bytes, user_start[n], user_start[n + 1])
        fits = fits and is_plain(cause_bytes, cause_start[n], cause_start[n + 1])
        fits = fits and abs(score[n]) < NUMBER_MAX
        slot = fill(slots, n, 0, words.BEGIN, USER_PACKED, 0)
        slot = fill(slots, n, slot, words.TO_ID, ID_PACKED, facts[n, X_SEQ])
        slot = fill(slots, n, slot, words.TO_TIME, TIME_PACKED, facts[n, X_AT])
        slot = fill(slots, n, slot, words.TO_PARTITION_KEY, USER_PACKED, 0)
        slot = fill(slots, n, slot, words.TO_VALUE, VALUE_PACKED, 0)
        slot = fill(slots, n, slot, words.USER, USER, 0)
        slot = fill(slots, n, slot, words.SEQ, WHOLE, facts[n, X_SEQ])
        slot = fill(slots, n, slot, from_rung[ladder, left], NOTHING, 0)
        slot = fill(slots, n, slot, to_rung[ladder, target], WHOLE, left)
        slot = fill(slots, n, slot, words.TO_RANK, WHOLE, target)
        said = cause[facts[n, X_CAUSE], direction, has_cause]
        slot = fill(slots, n, slot, said, CAUSE if has_cause else NOTHING, 0)
        score_at = words.SCORE_BEHIND_ID if has_cause else words.SCORE
        slot = fill(slots, n, slot, score_at, DECIMAL, millionths(score[n]) if fits else 0)
        slot = fill(slots, n, slot, words.EFFECTIVE_AT, TIME, facts[n, X_AT])
        slot = fill(slots, n, slot, words.PREVIOUS_SINCE, TIME, facts[n, X_PREVIOUS_SINCE])
        slot = fill(slots, n, slot, words.QUOTE, NOTHING, 0)
        if target + 1 < rungs[ladder]:
            missing = max(0.0, enter_at[ladder, target + 1] - score[n])
            fits = fits and missing < NUMBER_MAX
            slot = fill(
                slots, n, slot, next_rung[ladder, target], DECIMAL, millionths(missing) if fits else 0
            )
            slot = fill(slots, n, slot, words.OBJECT_END, NOTHING, 0)
        if facts[n, X_FALLS_AT] != NEVER:
            slot = fill(slots, n, slot, words.FALLS_AT, TIME, facts[n, X_FALLS_AT])
            slot = fill(slots, n, slot, words.QUOTE, NOTHING, 0)
        for place in range(parts[ladder]):
            value, earned = values[n, place], points[n, place]
            fits = fits and abs(earned) < NUMBER_MAX
            if np.isnan(value):
                slot = fill(slots, n, slot, part[ladder, place, 1], NOTHING, 0)
            else:
                fits = fits and abs(value) < NUMBER_MAX
                units = millionths(value) if fits else 0
                slot = fill(slots, n, slot, part[ladder, place, 0], DECIMAL, units)
            slot = fill(slots, n, slot, words.POINTS, DECIMAL, millionths(earned) if fits else 0)
        count[n] = fill(slots, n, slot, words.END, NOTHING, 0)
        plain[n] = fits


@inlined
def put_whole(out, at, number):
    """Write a whole number that is not negative."""
    size = np.uint64(number)
    return put_digits(out, at, size, digit_count(size))


@inlined
def put_decimal(out, at, units):
    """Write millionths as msgspec writes the float: at least one decimal, and below a hundred-thousandth `1e-6`."""
    if units < 0:
        out[at] = MINUS
        at, units = at + 1, -units
    whole = units // POINTS_SCALE
    rest = units - whole * POINTS_SCALE
    if whole == 0 and rest > 0 and rest < 10:
        out[at] = ZERO + rest
        out[at + 1] = LETTER_E
        out[at + 2] = MINUS
        out[at + 3] = ZERO + PLACES
        return at + 4
    at = put_whole(out, at, whole)
    out[at] = DOT
    places = PLACES
    while places > 1 and rest % 10 == 0:
        rest //= 10
        places -= 1
    return put_digits(out, at + 1, np.uint64(rest), places)


@inlined
def put_time(out, at, time_ms):
    """
    Write Unix milliseconds as sinks.keyspace.time_text does.

    The date is counted in eras of 400 years that begin with March: Hinnant's `civil_from_days`, in "chrono-Compatible
    Low-Level Date Algorithms".
    """
    time_ms = max(TIME_MS_MIN, min(TIME_MS_MAX, time_ms))
    day = time_ms // DAY_MS
    rest = time_ms - day * DAY_MS
    day += 719_468
    era = day // 146_097
    day -= era * 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era
    if month >= 10:
        year, month = year + 1, month - 12
    seconds = rest // 1000
    put_pair(out, at, year // 100)
    put_pair(out, at + 2, year % 100)
    out[at + 4] = MINUS
    put_pair(out, at + 5, month + 3)
    out[at + 7] = MINUS
    put_pair(out, at + 8, day + 1)
    out[at + 10] = LETTER_T
    put_pair(out, at + 11, seconds // 3600)
    out[at + 13] = COLON
    put_pair(out, at + 14, seconds // 60 % 60)
    out[at + 16] = COLON
    put_pair(out, at + 17, seconds % 60)
    out[at + 19] = DOT
    put_digits(out, at + 20, np.uint64(rest % 1000), 3)
    out[at + 23] = LETTER_Z
    return at + TIME_SIZE


@inlined
def put_packed_head(out, at, size):
    """Write the head of a byte string of less than 64 KiB."""
    if size < 256:
        out[at] = BIN_8
        out[at + 1] = size
        return at + 2
    out[at] = BIN_16
    out[at + 1] = size >> 8
    out[at + 2] = size & 255
    return at + 3


@borrowing_kernel(
    "int64(uint8[::1], int64[::1], int64[:,:,::1], int64[::1], boolean[::1], uint8[::1], int64[::1],"
    " uint8[::1], int64[::1], uint8[::1], int64[::1])"
)
def render_changes(
    out, end, slots, count, plain, user_bytes, user_start, cause_bytes, cause_start, arena, start
):
    """
    Render the messages that fill_changes laid out; answers where it stopped.

    Args:
        out: not checked for its end: change_encoder bounds the size from above.
        end: int64 (changes), set to where each message ends; one that is not plain is empty.
    """
    at = 0
    for n in range(count.shape[0]):
        end[n] = at
        if not plain[n]:
            continue
        user, user_end = user_start[n], user_start[n + 1]
        value_at = at
        for slot in range(count[n]):
            fragment, form, number = slots[n, slot, 0], slots[n, slot, 1], slots[n, slot, 2]
            at = put_bytes(out, at, arena, start[fragment], start[fragment + 1])
            ids = form in (USER, USER_PACKED)
            if form == ID_PACKED:
                size = user_end - user + 1 + digit_count(np.uint64(number))
                at = put_packed_head(out, at, size)
                at = put_bytes(out, at, user_bytes, user, user_end)
                out[at] = COLON
                at += 1
            elif ids:
                if form == USER_PACKED:
                    at = put_packed_head(out, at, user_end - user)
                at = put_bytes(out, at, user_bytes, user, user_end)
            elif form == CAUSE:
                at = put_bytes(out, at, cause_bytes, cause_start[n], cause_start[n + 1])
            elif form == DECIMAL:
                at = put_decimal(out, at, number)
            elif form == VALUE_PACKED:
                out[at] = BIN_32
                at += 5
                value_at = at
            elif form == TIME_PACKED:
                at = put_packed_head(out, at, TIME_SIZE)
            if form in (WHOLE, ID_PACKED):
                at = put_whole(out, at, number)
            elif form in (TIME, TIME_PACKED):
                at = put_time(out, at, number)
        size = at - value_at
        for byte in range(4):
            out[value_at - 1 - byte] = size & 255
            size >>= 8
        end[n] = at
    return at
