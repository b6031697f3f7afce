"""This file scans batches of native JSON into columns; what it does not understand it leaves to wire.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import typeof, types

from scoring.borrowing import borrowing, borrowing_kernel, inlined
from scoring.events import Bytes, Int8s, Int16s, Int64s
from scoring.fields import (
    AMOUNT,
    DISCOUNT,
    EVENT_ID,
    EVENT_TIME,
    FIELDS,
    ITEM_AGE,
    KEY_SIZE,
    LAUNCH,
    ORDER_ID,
    TYPE,
    UNKNOWN,
    USER_ID,
    field_of,
    is_key,
)
from scoring.hashing import hash_text
from scoring.json_text import (
    COLON,
    COMMA,
    OBJECT,
    OBJECT_END,
    QUOTE,
    after_scalar,
    after_space,
    after_value,
    string_end,
)
from scoring.json_values import read_money, read_time
from scoring.loads import byte_at, load_word

NOT_UNDERSTOOD = -1  # A fate of the scan only: the checked path decides.
USER_ID_BYTES_MAX = 256

NEEDED = 1 << EVENT_ID | 1 << USER_ID | 1 << TYPE | 1 << EVENT_TIME
NEEDED_BY_ORDERS = 1 << ORDER_ID | 1 << AMOUNT

PRESENT, ABSENT, IN, BETWEEN = 0, 1, 2, 3

GUESSES = 16  # A power of two.
WORD_BYTES = 8
WORD_MASK = np.array([(1 << 8 * size) - 1 for size in range(WORD_BYTES + 1)], np.uint64)


class ScanTables(NamedTuple):
    """
    Hold what the kernel must know of a policy, flat; scoring/scan_tables.py compiles it.

    Attributes:
        type_text, type_start: names of the event types, one after the other.
        type_low, type_high: the first and the second eight bytes of each, the first lowest.
        type_needs_order: 1 for types that must carry order_id and amount.
        type_mask: features that count the type whatever its fields.
        guard_start: guards of type t are guard_start[t]:guard_start[t + 1].
        guard_bit, clause_start: a guard adds its bit when all its clauses hold.
        clause_field, clause_op, clause_minimum, clause_maximum: what one `where` asks.
        clause_value_start, value_text, value_start, value_number: what its `in` lists, texts or numbers.
    """

    type_text: Bytes
    type_start: Int64s
    type_low: npt.NDArray[np.uint64]
    type_high: npt.NDArray[np.uint64]
    type_needs_order: Int8s
    type_mask: Int64s
    guard_start: Int64s
    guard_bit: Int64s
    clause_start: Int64s
    clause_field: Int8s
    clause_op: Int8s
    clause_minimum: npt.NDArray[np.float64]
    clause_maximum: npt.NDArray[np.float64]
    clause_value_start: Int64s
    value_text: Bytes
    value_start: Int64s
    value_number: npt.NDArray[np.float64]


class ScanColumns(NamedTuple):
    """Hold the columns the kernel fills, as in EventBatch, and where in the text each user and event id is."""

    fate: Int8s
    type: Int16s
    event_time_ms: Int64s
    event_id_hash: Int64s
    order_id_hash: Int64s
    amount_minor: Int64s
    match: Int64s
    user_hash: Int64s
    user_from: Int64s
    user_size: Int64s
    event_id_from: Int64s
    event_id_size: Int64s


class ScanMemory(NamedTuple):
    """
    Hold what the kernel works with, from message to message: most are like the one before.

    Attributes:
        start, stop: of the present message, by field.
        guess: the field of the n-th key of a message.
        minute: as in json_values.read_rfc3339.
    """

    start: Int64s
    stop: Int64s
    guess: Int64s
    minute: Int64s


def new_memory() -> ScanMemory:
    """Begin with no guess."""
    start, stop = np.zeros((2, FIELDS), np.int64)
    return ScanMemory(start, stop, np.full(GUESSES, UNKNOWN), np.array([0, 0, -1]))


def _types_of_tables() -> types.Type:
    empty: dict[str, Any] = {
        name: np.empty(0, dtype)
        for dtype, names in (
            (np.uint8, ("type_text", "value_text")),
            (np.int8, ("type_needs_order", "clause_field", "clause_op")),
            (np.float64, ("clause_minimum", "clause_maximum", "value_number")),
            (np.uint64, ("type_low", "type_high")),
        )
        for name in names
    }
    return typeof(ScanTables(*(empty.get(name, np.empty(0, np.int64)) for name in ScanTables._fields)))


def _types_of_columns() -> types.Type:
    dtypes: dict[str, Any] = {"fate": np.int8, "type": np.int16}
    return typeof(ScanColumns(*(np.empty(0, dtypes.get(name, np.int64)) for name in ScanColumns._fields)))


@inlined
def read_key(text: Bytes, at: int, guess: Int64s, number: int) -> tuple[int, int]:
    """Answer the field that the number-th key of a message names and where its value begins; -1 when not understood."""
    place = np.uintp(number & (GUESSES - 1))
    if byte_at(text, at) != QUOTE:
        return np.int64(UNKNOWN), np.int64(-1)
    field = guess[place]
    if is_key(text, at + 1, field):
        at += KEY_SIZE[np.uintp(field)] + 2
    else:
        key_end = string_end(text, at + 1, False)
        if key_end < 0:
            return np.int64(UNKNOWN), np.int64(-1)
        field = np.int64(field_of(text, at + 1, key_end - at - 1))
        guess[place] = field
        at = key_end + 1
    at = after_space(text, at)
    if byte_at(text, at) != COLON:
        return field, np.int64(-1)
    return field, after_space(text, at + 1)


@inlined
def scan_object(text: Bytes, at: int, end: int, minor_digits: int, compared: int, memory: ScanMemory) -> int:
    """
    Read the known fields of one message into start and stop, by field number; -1 when not understood.

    Answers the mask of present fields. A text spans start to stop, a money or time is in start. Texts in
    the mask `compared` must have no escapes; of the others only presence matters.
    """
    at = after_space(text, at)
    if byte_at(text, at) != OBJECT:
        return np.int64(-1)
    keys, present, number = np.int64(0), np.int64(0), np.int64(0)
    at = after_space(text, at + 1)
    while True:
        field, at = read_key(text, at, memory.guess, number)
        if at < 0:
            return np.int64(-1)
        number += 1
        if field == UNKNOWN:
            at = after_value(text, at)
        else:
            place, bit = np.uintp(field), np.int64(1) << field
            if keys & bit:
                return np.int64(-1)
            keys |= bit
            is_null = byte_at(text, at) == 110  # n
            if is_null:
                at = after_scalar(text, at)
            elif field in (EVENT_TIME, LAUNCH):
                memory.start[place], at = read_time(text, at, memory.minute)
            elif field in (AMOUNT, DISCOUNT):
                memory.start[place], at = read_money(text, at, minor_digits)
            else:
                if byte_at(text, at) != QUOTE:
                    return np.int64(-1)
                stop = string_end(text, at + 1, not compared & bit)
                memory.start[place], memory.stop[place] = at + 1, stop
                at = stop + 1 if stop >= 0 else np.int64(-1)
            if not is_null:
                present |= bit
        if at < 0:
            return np.int64(-1)
        at = after_space(text, at)
        if byte_at(text, at) != COMMA:
            break
        at = after_space(text, at + 1)
    if byte_at(text, at) != OBJECT_END or after_space(text, at + 1) != end:
        return np.int64(-1)
    return present


@borrowing
def equals(text: Bytes, start: int, stop: int, other: Bytes, other_start: int, other_stop: int) -> bool:
    """Compare two spans byte by byte."""
    if stop - start != other_stop - other_start:
        return False
    for i in range(stop - start):
        if text[start + i] != other[other_start + i]:
            return False
    return True


@borrowing
def lists_text(text: Bytes, start: int, stop: int, clause: int, tables: ScanTables) -> bool:
    """Tell whether the list of one `where` holds a text."""
    for value in range(tables.clause_value_start[clause], tables.clause_value_start[clause + 1]):
        value_start, value_stop = tables.value_start[value], tables.value_start[value + 1]
        if equals(text, start, stop, tables.value_text, value_start, value_stop):
            return True
    return False


@borrowing
def lists_number(number: float, clause: int, tables: ScanTables) -> bool:
    """Tell whether the list of one `where` holds a number."""
    for value in range(tables.clause_value_start[clause], tables.clause_value_start[clause + 1]):
        if number == tables.value_number[value]:
            return True
    return False


@borrowing
def clause_holds(
    text: Bytes, clause: int, present: int, start: Int64s, stop: Int64s, tables: ScanTables, money_unit: float
) -> bool:
    """Tell whether one `where` holds, as scoring/match.py does."""
    field = tables.clause_field[clause]
    wire_field = LAUNCH if field == ITEM_AGE else field
    there = (present >> wire_field & 1) == 1
    op = tables.clause_op[clause]
    if op in (PRESENT, ABSENT):
        return there == (op == PRESENT)
    if not there:
        return False
    if field not in (LAUNCH, ITEM_AGE, AMOUNT, DISCOUNT):
        return lists_text(text, start[field], stop[field], clause, tables)
    if field == LAUNCH:
        number = float(start[LAUNCH])
    elif field == ITEM_AGE:
        number = (start[EVENT_TIME] - start[LAUNCH]) / 1000.0
    else:
        number = start[field] / money_unit
    if op == IN:
        return lists_number(number, clause, tables)
    return number >= tables.clause_minimum[clause] and number <= tables.clause_maximum[clause]


@borrowing
def match_of(
    text: Bytes, kind: int, present: int, start: Int64s, stop: Int64s, tables: ScanTables, money_unit: float
) -> int:
    """Collect the features that count one event of a known type."""
    mask = tables.type_mask[kind]
    for guard in range(tables.guard_start[kind], tables.guard_start[kind + 1]):
        holds = True
        for clause in range(tables.clause_start[guard], tables.clause_start[guard + 1]):
            holds = holds and clause_holds(text, clause, present, start, stop, tables, money_unit)
        if holds:
            mask |= tables.guard_bit[guard]
    return mask


@inlined
def type_of(text: Bytes, start: int, stop: int, tables: ScanTables) -> int:
    """Find the index of an event type, -1 when the policy does not score it."""
    size = stop - start
    low = load_word(text, start) & WORD_MASK[np.uintp(min(size, WORD_BYTES))]
    high = (
        load_word(text, start + WORD_BYTES) & WORD_MASK[np.uintp(min(max(size - WORD_BYTES, 0), WORD_BYTES))]
    )
    for kind in range(tables.type_low.shape[0]):
        if low == tables.type_low[kind] and high == tables.type_high[kind]:
            # Nothing else begins so and ends within the two words: there are no zero bytes in a text.
            first, last = tables.type_start[kind], tables.type_start[kind + 1]
            if size < 2 * WORD_BYTES or equals(text, start, stop, tables.type_text, first, last):
                return kind
    return np.int64(-1)


READONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
SCAN = types.void(
    READONLY_BYTES,
    types.int64[::1],
    types.int64[::1],
    types.int64,
    types.int64,
    types.int64,
    _types_of_tables(),
    typeof(new_memory()),
    _types_of_columns(),
)


@borrowing_kernel(SCAN)
def scan_batch(
    text: Bytes,
    message_start: Int64s,
    ingest_time_ms: Int64s,
    future_tolerance_ms: int,
    minor_digits: int,
    compared: int,
    tables: ScanTables,
    memory: ScanMemory,
    columns: ScanColumns,
) -> None:
    """
    Fill the columns of every message that is good beyond doubt; the fate of the others is NOT_UNDERSTOOD.

    Args:
        text: messages, a zero byte after each, then PADDING.
        message_start: (messages + 1,), a message ends before the zero byte before the next one's start.
        ingest_time_ms: broker stamps.
        minor_digits: 0 to 4.
        compared: mask of the fields whose text is kept or compared.
        memory: of the messages before, whatever they were.
        columns: zeroed by the caller (type -1). Rows not understood stay so.
    """
    start, stop = memory.start, memory.stop
    money_unit = 1.0
    for _ in range(minor_digits):
        money_unit *= 10.0
    for i in range(np.uintp(message_start.shape[0] - 1)):
        columns.fate[i] = NOT_UNDERSTOOD
        end = message_start[i + np.uintp(1)] - 1
        present = scan_object(text, message_start[i], end, minor_digits, compared, memory)
        if present < 0 or present & NEEDED != NEEDED:
            continue
        user_size = stop[USER_ID] - start[USER_ID]
        if user_size < 1 or user_size > USER_ID_BYTES_MAX or start[EVENT_ID] == stop[EVENT_ID]:
            continue
        if start[EVENT_TIME] - ingest_time_ms[i] > future_tolerance_ms:
            continue
        has_order = (present >> ORDER_ID & 1) == 1
        if has_order and start[ORDER_ID] == stop[ORDER_ID]:
            continue
        kind = type_of(text, start[TYPE], stop[TYPE], tables)
        if kind >= 0:
            if tables.type_needs_order[kind] and present & NEEDED_BY_ORDERS != NEEDED_BY_ORDERS:
                continue
            columns.match[i] = match_of(text, kind, present, start, stop, tables, money_unit)
        columns.fate[i] = 0
        columns.type[i] = kind
        columns.event_time_ms[i] = start[EVENT_TIME]
        columns.event_id_hash[i] = hash_text(text, start[EVENT_ID], stop[EVENT_ID])
        columns.user_hash[i] = hash_text(text, start[USER_ID], stop[USER_ID])
        if has_order:
            columns.order_id_hash[i] = hash_text(text, start[ORDER_ID], stop[ORDER_ID])
        if present >> AMOUNT & 1:
            columns.amount_minor[i] = start[AMOUNT]
        columns.user_from[i] = start[USER_ID]
        columns.user_size[i] = user_size
        columns.event_id_from[i] = start[EVENT_ID]
        columns.event_id_size[i] = stop[EVENT_ID] - start[EVENT_ID]
