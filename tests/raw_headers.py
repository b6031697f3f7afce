"""Headers that confluent-kafka refuses to write. This file sends them by librdkafka's C interface."""

import ctypes

from confluent_kafka import Producer

from sinks.librdkafka import open_library

_TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADER = 1, 3, 4, 7, 9
_COPY = 2
_HANDLE_AT = object.__basicsize__


class _Bytes(ctypes.Structure):
    _fields_ = (("start", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("start", ctypes.c_char_p), ("size", ctypes.c_ssize_t))


class _Union(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int32),
        ("bytes", _Bytes),
        ("header", _Header),
        ("padding", ctypes.c_char * 64),
    )


class _Argument(ctypes.Structure):
    """librdkafka's rd_kafka_vu_t: a kind, and what it says of the message."""

    _fields_ = (("kind", ctypes.c_int), ("u", _Union))


def produce_with_raw_header(
    producer: Producer, topic: str, partition: int, value: bytes, name: bytes
) -> None:
    """Send a message with one header, whose name may be any bytes but 0; the producer has to be flushed."""
    arguments = (_Argument * 5)(
        _Argument(_TOPIC, _Union(text=topic.encode())),
        _Argument(_PARTITION, _Union(number=partition)),
        _Argument(_VALUE, _Union(bytes=_Bytes(value, len(value)))),
        _Argument(_FLAGS, _Union(number=_COPY)),
        _Argument(_HEADER, _Union(header=_Header(name, b"value", 5))),
    )
    send = open_library().rd_kafka_produceva
    send.restype, send.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    handle = ctypes.c_void_p.from_address(id(producer) + _HANDLE_AT).value
    assert send(handle, arguments, len(arguments)) is None
