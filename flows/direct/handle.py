"""This file finds librdkafka's handle in confluent-kafka's Consumer."""

import ctypes

from confluent_kafka import Consumer

from sinks.librdkafka import DirectAccessRefused, open_library

_HANDLE_AT = object.__basicsize__


def handle_of(consumer: Consumer) -> int:
    """
    Answer librdkafka's handle of a consumer: the first field behind the head of every Python object.

    Raises:
        DirectAccessRefused: what stands there does not know itself as a consumer.
    """
    library = open_library()
    handle = ctypes.c_void_p.from_address(id(consumer) + _HANDLE_AT).value
    name = library.rd_kafka_name(handle) if handle else None
    if handle is None or name is None or b"#consumer-" not in name:
        raise DirectAccessRefused(f"the consumer's handle is not where it was expected: {name!r}")
    return handle
