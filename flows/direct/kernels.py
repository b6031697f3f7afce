"""This file holds the kernels that copy what librdkafka read out of its messages, and give them back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import typeof, types

from scoring.borrowing import borrowing
from scoring.events import Int64s
from scoring.jit import kernel
from sinks.pointers import call, copy_bytes, fetch, load_byte, load_half, load_word

# rd_kafka_message_t, in bytes.
ERROR, TOPIC, PARTITION, PAYLOAD, SIZE, KEY, KEY_SIZE, OFFSET = 0, 8, 16, 24, 32, 40, 48, 56
FUNCTIONS = ("message_timestamp", "message_headers", "header_get_last", "message_destroy")
# Places in the array of their addresses.
TIMESTAMP, HEADERS, GET_LAST, DESTROY = range(4)

ATTEMPT_DIGITS_MAX = 9
ZERO, NINE = ord("0"), ord("9")
VARINT_BITS, VARINT_MORE = 7, 128

AHEAD = 8  # Another thread wrote the messages, on another core: they are fetched so many before a kernel comes to one.
LINE_BYTES, MESSAGE_LINES = 64, 3

INT, INTS = types.int64, types.int64[::1]


class Facts(NamedTuple):
    """What is read of each message, one column each; sizes of 0 bytes and of nothing differ by `has_value`."""

    error: Int64s
    topic: Int64s  # address of librdkafka's topic object
    partition: Int64s
    offset: Int64s
    time_ms: Int64s
    size: Int64s
    has_value: Int64s
    key_size: Int64s  # -1 without a key
    attempt: Int64s


def new_facts(count: int) -> Facts:
    """Make room for so many messages."""
    return Facts(*np.empty((len(Facts._fields), count), np.int64))


FACTS = typeof(new_facts(1))


@borrowing
def has_no_headers(value, size):
    """
    Tell that a message has no headers, by the bytes of the broker around its value, which librdkafka leaves in place.

    In Kafka's record format 2 a value stands behind its size, a zigzag varint, and before the number of headers.
    Formats 0 and 1 have the size as a big-endian int32, which is never the same bytes for 1 byte or more. To ask
    librdkafka costs more than all else that is read here: it makes a list of headers for each message, also of none.
    """
    if value == 0 or size <= 0:
        return False
    left, length = 2 * size, 1
    while left >= VARINT_MORE:
        left >>= VARINT_BITS
        length += 1
    left = 2 * size
    for place in range(length):
        more = VARINT_MORE if place < length - 1 else 0
        if load_byte(value - length + place) != (left & (VARINT_MORE - 1)) | more:
            return False
        left >>= VARINT_BITS
    return load_byte(value + size) == 0


@borrowing
def attempt_of(message, functions, scratch, name):
    """Read the header that counts replays, as sinks/dead_letters.py does: up to nine digits, else 0."""
    if has_no_headers(load_word(message + PAYLOAD), load_word(message + SIZE)):
        return 0
    if call(functions[HEADERS], message, scratch) & 0xFFFFFFFF != 0:
        return 0
    headers = load_word(scratch)
    if call(functions[GET_LAST], headers, name, scratch, scratch + 8) & 0xFFFFFFFF != 0:
        return 0
    text, size = load_word(scratch), load_word(scratch + 8)
    if text == 0 or size > ATTEMPT_DIGITS_MAX:
        return 0
    attempt = 0
    for place in range(size):
        digit = load_byte(text + place)
        if digit < ZERO or digit > NINE:
            return 0
        attempt = attempt * 10 + digit - ZERO
    return attempt


@borrowing
def fetch_ahead(messages, n):
    """Have brought near what the messages to come are, and of half of these the ends of their values."""
    if n + AHEAD < messages.shape[0]:
        for line in range(MESSAGE_LINES):
            fetch(messages[n + AHEAD] + LINE_BYTES * line)
    if n + AHEAD // 2 < messages.shape[0]:
        message = messages[n + AHEAD // 2]
        value = load_word(message + PAYLOAD)
        fetch(value - 1)
        fetch(value + load_word(message + SIZE))


@kernel(types.void(INTS, INTS, INT, INT, FACTS))
def read_facts(messages, functions, scratch, name, facts):
    """
    Read everything but value and key.

    Args:
        messages: addresses of rd_kafka_message_t.
        functions: addresses, by the places above.
        scratch: address of two words to write to.
        name: address of the name of the header that counts replays, ended by a zero byte.
    """
    for n in range(messages.shape[0]):
        message = messages[n]
        fetch_ahead(messages, n)
        facts.error[n] = load_half(message + ERROR)
        facts.topic[n] = load_word(message + TOPIC)
        facts.partition[n] = load_half(message + PARTITION)
        facts.offset[n] = load_word(message + OFFSET)
        facts.time_ms[n] = call(functions[TIMESTAMP], message, scratch)
        facts.size[n] = load_word(message + SIZE)
        facts.has_value[n] = load_word(message + PAYLOAD) != 0
        facts.key_size[n] = load_word(message + KEY_SIZE) if load_word(message + KEY) != 0 else -1
        facts.attempt[n] = attempt_of(message, functions, scratch, name) if facts.error[n] == 0 else 0


@kernel(types.void(INTS, INT, INTS, INT, INT))
def copy_texts(messages, field, start, gap, text):
    """
    Copy values or keys one behind the other, that of message n to text[start[n] : start[n + 1] - gap].

    Args:
        field: PAYLOAD or KEY.
        text: address of what they are copied to.
    """
    for n in range(messages.shape[0]):
        size = start[n + 1] - start[n] - gap
        if size > 0:
            copy_bytes(text + start[n], load_word(messages[n] + field), size)


@kernel(types.void(INTS, INTS))
def give_back(messages, functions):
    """Let librdkafka free the messages."""
    for n in range(messages.shape[0]):
        call(functions[DESTROY], messages[n])
