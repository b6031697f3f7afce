"""
This file holds the kernels that hand the outbox's messages to librdkafka, and read its delivery reports.

Messages are read where they lie: the MessagePack arrays of sinks/outbox.py. Each is walked to its end before
anything of it is believed, so that no rubbish is read beyond.
"""

from __future__ import annotations

import numpy as np
from numba import types

from scoring.borrowing import borrowing
from scoring.jit import kernel
from sinks.pointers import call, load_byte, load_half, load_word

FUNCTIONS = (
    "produceva",
    "error_code",
    "error_is_fatal",
    "error_destroy",
    "headers_new",
    "header_add",
    "headers_destroy",
    "queue_poll",
    "event_type",
    "event_message_next",
    "event_destroy",
)
# Places in the array of their addresses.
PRODUCE, ERROR_CODE, IS_FATAL, ERROR_DESTROY, HEADERS_NEW, HEADER_ADD, HEADERS_DESTROY = range(7)
POLL, EVENT_TYPE, MESSAGE_NEXT, EVENT_DESTROY = range(7, 11)

# rd_kafka_vu_t is a word that names what it holds, and eight words to hold it; enum rd_kafka_vtype_t.
VU_WORDS = 9
OF_TOPIC, OF_VALUE, OF_KEY, OF_OPAQUE, OF_FLAGS, OF_HEADERS = 2, 4, 5, 6, 7, 10
# Places of ours in the array of them, headers last, since some messages have none.
TOPIC, VALUE, KEY, OPAQUE, FLAGS, HEADERS = range(6)
COPY = 2  # RD_KAFKA_MSG_F_COPY

# rd_kafka_message_t, in bytes.
ERROR, ITS_TOPIC, PARTITION, OFFSET, PRIVATE = 0, 8, 16, 56, 64
DELIVERY_REPORT = 1  # RD_KAFKA_EVENT_DR

MALFORMED = -1
"""Where a message would go on, were it one."""
FATAL = -150
"""Librdkafka's code for a producer that has failed for good."""
NOT_A_MESSAGE = -199
"""What cannot be walked is refused like what librdkafka cannot take (its code for bad messages)."""

NIL, ARRAY_OF_4, ARRAY_OF_2 = 0xC0, 0x94, 0x92
CHANGE = ord("c")  # How the kinds of sinks/outbox.py begin.
HALF_MASK = 0xFFFFFFFF

# Places in the array of results.
NEXT_INDEX, NEXT_BYTE, SENT, REFUSAL = range(4)
COUNT, OTHER_EVENT = range(2)

INT, INTS = types.int64, types.int64[::1]


def new_vus() -> np.ndarray:
    """Make what a message is described by, with what is the same for all."""
    vus = np.zeros((6, VU_WORDS), np.int64)
    vus[:, 0] = OF_TOPIC, OF_VALUE, OF_KEY, OF_OPAQUE, OF_FLAGS, OF_HEADERS
    vus[FLAGS, 1] = COPY
    return vus.ravel()


@borrowing
def number_at(at, width):
    """Read an unsigned number, most significant byte first."""
    number = 0
    for place in range(width):
        number = number << 8 | load_byte(at + place)
    return number


@borrowing
def text_at(at, end):
    """Answer where a string or bytes begin, and how many they are: -1 for nil; MALFORMED for all else."""
    if at >= end:
        return MALFORMED, 0
    tag = load_byte(at)
    if tag == NIL:
        return at + 1, -1
    if 0xA0 <= tag <= 0xBF:
        start, size = at + 1, tag & 0x1F
    else:
        width = 0
        if tag == 0xC4 or tag == 0xD9:
            width = 1
        elif tag == 0xC5 or tag == 0xDA:
            width = 2
        elif tag == 0xC6 or tag == 0xDB:
            width = 4
        if width == 0 or at + 1 + width > end:
            return MALFORMED, 0
        start, size = at + 1 + width, number_at(at + 1, width)
    if size > end - start:
        return MALFORMED, 0
    return start, size


@borrowing
def array_at(at, end):
    """Answer where the first item of an array stands, and how many there are; MALFORMED for all else."""
    if at >= end:
        return MALFORMED, 0
    tag = load_byte(at)
    if 0x90 <= tag <= 0x9F:
        return at + 1, tag & 0x0F
    if tag == 0xDC and at + 3 <= end:
        return at + 3, number_at(at + 1, 2)
    if tag == 0xDD and at + 5 <= end:
        return at + 5, number_at(at + 1, 4)
    return MALFORMED, 0


@borrowing
def behind_text(at, end):
    """Answer where what follows a string, bytes or nil begins."""
    start, size = text_at(at, end)
    return start + max(size, 0)


@borrowing
def behind_message(at, end):
    """Answer where the next message begins, MALFORMED where this is none."""
    if at >= end or load_byte(at) != ARRAY_OF_4:
        return MALFORMED
    start, size = text_at(at + 1, end)
    if start == MALFORMED or size < 1:
        return MALFORMED
    at = behind_text(start + size, end)
    if at == MALFORMED:
        return MALFORMED
    at, headers = array_at(at, end)
    if at == MALFORMED:
        return MALFORMED
    for _ in range(headers):
        if at >= end or load_byte(at) != ARRAY_OF_2:
            return MALFORMED
        name, size = text_at(at + 1, end)
        if name == MALFORMED or size < 0:
            return MALFORMED
        at = behind_text(name + size, end)
        if at == MALFORMED:
            return MALFORMED
    return behind_text(at, end)


@borrowing
def address_or_null(start, size):
    """Tell C of nothing, and of bytes that are none."""
    return start if size >= 0 else 0


@borrowing
def produce(handle, at, end, opaque, topics, functions, vus, vus_at):
    """Hand one whole message over, copied; answer librdkafka's code, 0 when it was taken."""
    kind, size = text_at(at + 1, end)
    vus[TOPIC * VU_WORDS + 1] = topics[0] if load_byte(kind) == CHANGE else topics[1]
    start, key_size = text_at(kind + size, end)
    vus[KEY * VU_WORDS + 1] = address_or_null(start, key_size)
    vus[KEY * VU_WORDS + 2] = max(key_size, 0)
    at, count = array_at(start + max(key_size, 0), end)
    headers = call(functions[HEADERS_NEW], count) if count else 0
    for _ in range(count):
        name, name_size = text_at(at + 1, end)
        value, value_size = text_at(name + name_size, end)
        given = address_or_null(value, value_size)
        call(functions[HEADER_ADD], headers, name, name_size, given, max(value_size, 0))
        at = value + max(value_size, 0)
    value, value_size = text_at(at, end)
    vus[VALUE * VU_WORDS + 1] = address_or_null(value, value_size)
    vus[VALUE * VU_WORDS + 2] = max(value_size, 0)
    vus[OPAQUE * VU_WORDS + 1] = opaque
    vus[HEADERS * VU_WORDS + 1] = headers
    error = call(functions[PRODUCE], handle, vus_at, HEADERS + 1 if count else HEADERS)
    if error == 0:
        return 0
    code = call(functions[ERROR_CODE], error) << 32 >> 32  # An int, with its sign.
    if call(functions[IS_FATAL], error) & HALF_MASK != 0:
        code = FATAL
    call(functions[ERROR_DESTROY], error)
    if count:
        call(functions[HEADERS_DESTROY], headers)
    return code


@kernel(types.void(INT, INT, INT, INT, types.boolean[::1], INT, INT, INTS, INTS, INTS, INT, INTS))
def send_messages(
    text, size, index, at, is_delivered, opaque, handle, topics, functions, vus, vus_at, result
):
    """
    Hand over the messages of a batch that are not delivered, until one is refused or there is no room.

    Args:
        text, size: address and length of the packed messages.
        index, at: of the message to begin with, and its place in the text.
        is_delivered: (messages,).
        opaque: what the first message of the batch is reported by; the others count on.
        topics: addresses, of changes and of dead letters.
        vus: made by `new_vus`; vus_at is its address.
        result: in SENT the most messages to hand over; out NEXT_INDEX, NEXT_BYTE, SENT, REFUSAL.
    """
    end, room = text + size, result[SENT]
    result[SENT] = result[REFUSAL] = 0
    at += text
    while index < is_delivered.shape[0]:
        behind = behind_message(at, end)
        if behind == MALFORMED:
            result[REFUSAL] = NOT_A_MESSAGE
            break
        if not is_delivered[index]:
            if result[SENT] == room:
                break
            code = produce(handle, at, end, opaque + index, topics, functions, vus, vus_at)
            if code != 0:
                result[REFUSAL] = code
                break
            result[SENT] += 1
        at = behind
        index += 1
    result[NEXT_INDEX] = index
    result[NEXT_BYTE] = at - text


@kernel(types.void(INT, INT, INTS, types.int64[:, ::1], INTS))
def read_reports(queue, timeout_ms, functions, found, result):
    """
    Read delivery reports until there are none, or something else turns up.

    Args:
        timeout_ms: how long to wait for the first.
        found: out, rows of opaque, error, topic's address, partition, offset; as many columns as messages are
            on their way, each of which is reported once.
        result: out COUNT of columns, and OTHER_EVENT, which the caller has to destroy, or 0.
    """
    count = 0
    result[OTHER_EVENT] = 0
    while True:
        event = call(functions[POLL], queue, timeout_ms)
        timeout_ms = 0
        if event == 0:
            break
        if call(functions[EVENT_TYPE], event) & HALF_MASK != DELIVERY_REPORT:
            result[OTHER_EVENT] = event
            break
        message = call(functions[MESSAGE_NEXT], event)
        while message != 0:
            found[0, count] = load_word(message + PRIVATE)
            found[1, count] = load_half(message + ERROR)
            found[2, count] = load_word(message + ITS_TOPIC)
            found[3, count] = load_half(message + PARTITION)
            found[4, count] = load_word(message + OFFSET)
            count += 1
            message = call(functions[MESSAGE_NEXT], event)
        call(functions[EVENT_DESTROY], event)
    result[COUNT] = count
