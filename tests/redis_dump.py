"""What DUMP answers for a small hash, in slow, obvious Python; after rdb.c, listpack.c and crc64.c of Redis 7.0."""

import struct
from collections.abc import Mapping

CRC_POLYNOMIAL = 0xAD93D23594C935A9


def dump(fields: Mapping[bytes, bytes]) -> bytes:
    """Render a hash as a listpack; its length always takes 32 bits."""
    items = b"".join(item(word) for pair in fields.items() for word in pair)
    listpack = struct.pack("<IH", len(items) + 7, 2 * len(fields)) + items + b"\xff"
    body = b"\x10\x80" + struct.pack(">I", len(listpack)) + listpack + struct.pack("<H", 10)
    return body + struct.pack("<Q", crc64(body))


def item(word: bytes) -> bytes:
    """Render a name or a value, and behind it how long that was."""
    entry = entry_of(word)
    size = len(entry)
    if size <= 127:
        return entry + bytes([size])
    assert size < 16_383  # From here on servers do not agree.
    return entry + bytes([size >> 7, size & 127 | 128])


def entry_of(word: bytes) -> bytes:
    """Render an integer as one, anything else as text."""
    try:
        value = int(word) if len(word) <= 20 else None
    except ValueError:
        value = None
    if value is None or str(value).encode() != word or not -(2**63) <= value < 2**63:
        return text(word)
    if 0 <= value < 128:
        return struct.pack("B", value)
    if -4096 <= value < 4096:
        return struct.pack(">H", 0xC000 | value & 0x1FFF)
    if -(2**15) <= value < 2**15:
        return b"\xf1" + struct.pack("<h", value)
    if -(2**23) <= value < 2**23:
        return b"\xf2" + struct.pack("<i", value)[:3]
    if -(2**31) <= value < 2**31:
        return b"\xf3" + struct.pack("<i", value)
    return b"\xf4" + struct.pack("<q", value)


def text(word: bytes) -> bytes:
    """Render text behind its length."""
    size = len(word)
    if size < 64:
        return bytes([0x80 | size]) + word
    return struct.pack(">H", 0xE000 | size) + word


def crc64(body: bytes) -> int:
    """Answer Jones' CRC-64, bit by bit, of bytes that are read from their lowest bit."""
    mirrored, crc = int(f"{CRC_POLYNOMIAL:064b}"[::-1], 2), 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ mirrored * (crc & 1)
    return crc
