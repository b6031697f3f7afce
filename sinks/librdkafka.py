"""This file reaches librdkafka's public C interface in the library that confluent-kafka is built on."""

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib import metadata

import confluent_kafka
import numpy as np
import numpy.typing as npt
from confluent_kafka import cimpl

TESTED = "2.16."
"""Versions of confluent-kafka with which all this was tried."""

_POINTER, _TEXT, _INT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_SIGNATURES = {
    "rd_kafka_version": (_INT, []),
    "rd_kafka_name": (_TEXT, [_POINTER]),
    "rd_kafka_topic_name": (_TEXT, [_POINTER]),
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_get_partition": (_POINTER, [_POINTER, _TEXT, ctypes.c_int32]),
    "rd_kafka_queue_get_main": (_POINTER, [_POINTER]),
    "rd_kafka_queue_forward": (None, [_POINTER, _POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, _INT, _POINTER, _SIZE]),
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_INT, [_POINTER, _TEXT, _TEXT, _TEXT, _SIZE]),
    "rd_kafka_conf_set_events": (None, [_POINTER, _INT]),
    "rd_kafka_conf_destroy": (None, [_POINTER]),
    "rd_kafka_new": (_POINTER, [_INT, _POINTER, _TEXT, _SIZE]),
    "rd_kafka_set_log_queue": (_INT, [_POINTER, _POINTER]),
    "rd_kafka_topic_new": (_POINTER, [_POINTER, _TEXT, _POINTER]),
    "rd_kafka_topic_destroy": (None, [_POINTER]),
    "rd_kafka_purge": (_INT, [_POINTER, _INT]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_event_log": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "rd_kafka_event_destroy": (None, [_POINTER]),
}


class DirectAccessRefused(Exception):
    """Say why librdkafka cannot be used past confluent-kafka's objects here."""


@cache
def open_library() -> ctypes.CDLL:
    """
    Find the functions of the library that this process has loaded already.

    Raises:
        DirectAccessRefused: it is another one than was tested, or does not show its functions.
    """
    version = metadata.version("confluent-kafka")
    if not version.startswith(TESTED):
        raise DirectAccessRefused(f"confluent-kafka {version} is not one of those tested, {TESTED}x")
    try:
        functions = ctypes.CDLL(cimpl.__file__)  # Names are looked up in what it is linked with, too.
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError) as error:
        raise DirectAccessRefused(f"librdkafka does not show its functions: {error}") from error
    if functions.rd_kafka_version() != confluent_kafka.libversion()[1]:
        raise DirectAccessRefused("there is more than one librdkafka in this process")
    return functions


def addresses_of(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """
    Answer where functions stand that kernels call, in this order.

    Raises:
        DirectAccessRefused: as open_library, or one of them is not there.
    """
    library = open_library()
    try:
        found = [ctypes.cast(getattr(library, f"rd_kafka_{name}"), _POINTER).value for name in names]
    except AttributeError as error:
        raise DirectAccessRefused(f"librdkafka does not show its functions: {error}") from error
    return np.array(found, np.int64)
