"""
This file renders a small hash as RESTORE takes it, all fields at once: the bytes that DUMP would answer.

The format is Redis' own: a type, the hash as a listpack (names and values in turns, what is spelled like an integer as
one), a version, a checksum. Version 10 came with Redis 7.0; later ones and all of Valkey read it. Source: rdb.c and
listpack.c of Redis 7.0. As in profile_kernel nobody checks where the buffer ends.
"""

import numpy as np

from scoring.borrowing import borrowing_kernel, inlined
from scoring.loads import load_word, store_word
from sinks.resp_text import decimal_size, number_parts, put_bytes, put_decimal

HASH_LISTPACK, VERSION = 16, 10
LENGTH_IN_32_BITS, LISTPACK_END = 0x80, 0xFF
# Behind type and length stands the listpack, which begins with its size in bytes and in items.
LISTPACK_AT, ITEMS_AT = 6, 12
# How many bytes stand around the items, and are written in vain behind the last one.
SIZE_AROUND = ITEMS_AT + 1 + 2 + 8 + 8
# Of texts by their size; of integers by theirs, where a byte below 128 is one itself.
SHORT, LONG = 0x80, 0xE0
INT13, INT16, INT24, INT32, INT64 = 0xC0, 0xF1, 0xF2, 0xF3, 0xF4
ITEM_AROUND = 2 + 2 + 8

TEXT_MAX = 4_095
"""
Longer texts are not for RESTORE. Of one item of 16,383 bytes Redis 7.0 and Valkey 9 do not agree how long it is from
behind, and Redis, told the other's way, ends.
"""
_INTEGER_TEXT_MAX = 20
_JONES = 0x95AC9329AC4BC9B5  # The polynomial of its CRC-64, lowest bit first.


def _crc_tables() -> np.ndarray:
    """Make the tables for 8 bytes at a time: [n, byte] is what the byte does with n bytes behind it."""
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ _JONES * (crc & 1)
        tables[0, byte] = crc
    for n in range(1, 8):
        tables[n] = tables[n - 1] >> np.uint64(8) ^ tables[0, tables[n - 1] & np.uint64(0xFF)]
    return tables


CRC = _crc_tables()


@inlined
def crc64(source, end):
    """Answer Redis' checksum of source[:end]."""
    crc, at = np.uint64(0), 0
    while at + 8 <= end:
        crc ^= load_word(source, at)
        crc = (
            CRC[7, crc & np.uint64(0xFF)]
            ^ CRC[6, (crc >> np.uint64(8)) & np.uint64(0xFF)]
            ^ CRC[5, (crc >> np.uint64(16)) & np.uint64(0xFF)]
            ^ CRC[4, (crc >> np.uint64(24)) & np.uint64(0xFF)]
            ^ CRC[3, (crc >> np.uint64(32)) & np.uint64(0xFF)]
            ^ CRC[2, (crc >> np.uint64(40)) & np.uint64(0xFF)]
            ^ CRC[1, (crc >> np.uint64(48)) & np.uint64(0xFF)]
            ^ CRC[0, crc >> np.uint64(56)]
        )
        at += 8
    while at < end:
        crc = CRC[0, (crc ^ np.uint64(source[at])) & np.uint64(0xFF)] ^ (crc >> np.uint64(8))
        at += 1
    return crc


@inlined
def put_item_end(out, begin, at):
    """Close an item that began there: its size once more, to be read from behind."""
    size = at - begin
    if size < 128:
        out[at] = size
        return at + 1
    out[at] = size >> 7
    out[at + 1] = 0x80 | size & 0x7F
    return at + 2


@inlined
def put_text_head(out, at, size):
    """Begin an item of text of up to TEXT_MAX bytes."""
    if size < 64:
        out[at] = SHORT | size
        return at + 1
    out[at] = LONG | size >> 8
    out[at + 1] = size & 0xFF
    return at + 2


@inlined
def put_integer(out, at, value):
    """Write an item that is an integer."""
    if 0 <= value < 128:
        out[at] = value
        end = at + 1
    elif -4096 <= value < 4096:
        out[at] = INT13 | (value >> 8) & 0x1F
        out[at + 1] = value & 0xFF
        end = at + 2
    else:
        store_word(out, at + 1, value)
        if -(1 << 15) <= value < 1 << 15:
            out[at], end = INT16, at + 3
        elif -(1 << 23) <= value < 1 << 23:
            out[at], end = INT24, at + 4
        elif -(1 << 31) <= value < 1 << 31:
            out[at], end = INT32, at + 5
        else:
            out[at], end = INT64, at + 9
    return put_item_end(out, at, end)


@inlined
def put_number_item(out, at, units, form):
    """Write a number, as resp_text.put_number would spell it, as an item."""
    whole, part, places = number_parts(units, form)
    if places == 0:
        return put_integer(out, at, -np.int64(whole) if units < 0 else np.int64(whole))
    end = put_text_head(out, at, decimal_size(units, whole, places))
    return put_item_end(out, at, put_decimal(out, end, units, whole, part, places))


@inlined
def put_dump_around(out, at, count):
    """Close a dump whose so many items are out[ITEMS_AT:at]; answer how long it is."""
    out[at] = LISTPACK_END
    end = at + 1
    size = end - LISTPACK_AT
    out[0], out[1] = HASH_LISTPACK, LENGTH_IN_32_BITS
    for n in range(4):
        out[2 + n] = (size >> 24 - 8 * n) & 0xFF
        out[LISTPACK_AT + n] = (size >> 8 * n) & 0xFF
    out[ITEMS_AT - 2], out[ITEMS_AT - 1] = count & 0xFF, count >> 8
    out[end], out[end + 1] = VERSION, 0
    store_word(out, end + 2, np.int64(crc64(out, end + 2)))
    return end + 10


@borrowing_kernel("int64(uint8[::1], uint8[::1], boolean, int64)")
def render_item(out, word, is_integer, value):
    """Render a word, or the integer that it spells; answers how long the item is."""
    if is_integer:
        return put_integer(out, 0, value)
    at = put_text_head(out, 0, word.shape[0])
    return put_item_end(out, 0, put_bytes(out, at, word, 0, word.shape[0]))


def items(*words: str | bytes) -> bytes:
    """Render words as items of a listpack; raises AssertionError for one longer than TEXT_MAX."""
    return b"".join(_item(word.encode() if isinstance(word, str) else word) for word in words)


def _item(word: bytes) -> bytes:
    assert len(word) <= TEXT_MAX, len(word)
    number = _integer(word)
    out = np.zeros(len(word) + ITEM_AROUND, np.uint8)
    size = render_item(out, np.frombuffer(bytearray(word), np.uint8), number is not None, number or 0)
    return out[:size].tobytes()


def _integer(word: bytes) -> int | None:
    """Read what Redis keeps as an integer: exactly as it would be spelled, and of 64 bits."""
    if len(word) > _INTEGER_TEXT_MAX or not word.removeprefix(b"-").isdigit():
        return None
    number = int(word)
    return number if b"%d" % number == word and -(1 << 63) <= number < 1 << 63 else None
