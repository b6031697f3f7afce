"""This file reaches librdkafka's public C interface in the library that confluent-kafka is built on."""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib import metadata

import confluent_kafka
from confluent_kafka import Consumer, cimpl

TESTED = "2.16."
"""Versions of confluent-kafka whose Consumer is known to begin with librdkafka's handle."""

_HANDLE_AT = object.__basicsize__
_POINTER, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_SIGNATURES = {
    "rd_kafka_version": (_INT, []),
    "rd_kafka_name": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_topic_name": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_get_partition": (_POINTER, [_POINTER, ctypes.c_char_p, ctypes.c_int32]),
    "rd_kafka_queue_forward": (None, [_POINTER, _POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, _INT, _POINTER, _SIZE]),
}
_CALLED_BY_KERNELS = (
    "rd_kafka_message_timestamp",
    "rd_kafka_message_headers",
    "rd_kafka_header_get_last",
    "rd_kafka_message_destroy",
)


class DirectReadingRefused(Exception):
    """Say why messages cannot be read past confluent-kafka's objects here."""


@dataclass(frozen=True, slots=True)
class Library:
    """The functions by name, and the addresses of those that kernels call, in the order of `_CALLED_BY_KERNELS`."""

    functions: ctypes.CDLL
    addresses: tuple[int, ...]


@cache
def open_library() -> Library:
    """
    Find the functions of the library that this process has loaded already.

    Raises:
        DirectReadingRefused: it is another one than was tested, or does not show its functions.
    """
    version = metadata.version("confluent-kafka")
    if not version.startswith(TESTED):
        raise DirectReadingRefused(f"confluent-kafka {version} is not one of those tested, {TESTED}x")
    try:
        functions = ctypes.CDLL(cimpl.__file__)  # Names are looked up in what it is linked with, too.
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
        addresses = tuple(_address(functions, name) for name in _CALLED_BY_KERNELS)
    except (AttributeError, OSError) as error:
        raise DirectReadingRefused(f"librdkafka does not show its functions: {error}") from error
    if functions.rd_kafka_version() != confluent_kafka.libversion()[1]:
        raise DirectReadingRefused("there is more than one librdkafka in this process")
    return Library(functions, addresses)


def handle_of(consumer: Consumer) -> int:
    """
    Answer librdkafka's handle of a consumer: the first field behind the head of every Python object.

    Raises:
        DirectReadingRefused: what stands there does not know itself as a consumer.
    """
    library = open_library()
    handle = ctypes.c_void_p.from_address(id(consumer) + _HANDLE_AT).value
    name = library.functions.rd_kafka_name(handle) if handle else None
    if handle is None or name is None or b"#consumer-" not in name:
        raise DirectReadingRefused(f"the consumer's handle is not where it was expected: {name!r}")
    return handle


def _address(functions: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(functions, name), ctypes.c_void_p).value
    assert address is not None, name
    return address
