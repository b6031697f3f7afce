"""This file publishes the outbox's messages through librdkafka itself, without a Python object for each."""

import ctypes
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from sinks.librdkafka import DirectAccessRefused, addresses_of, open_library
from sinks.outbox import KINDS, Kind
from sinks.parcel import Parcel
from sinks.publish_kernels import (
    COUNT,
    FUNCTIONS,
    NEXT_BYTE,
    NEXT_INDEX,
    OTHER_EVENT,
    REFUSAL,
    SENT,
    new_vus,
    read_reports,
    send_messages,
)
from sinks.publisher import Reports, log

_PRODUCER = 0
_EVENTS = (
    0x1 | 0x4 | 0x8
)  # Delivery reports, log lines, errors; the last are dropped, they heal by themselves.
_PURGE_QUEUE, _PURGE_IN_FLIGHT = 1, 2
_CONF_OK = 0
_ERROR_BYTES = 512
_INDEX_BITS = 24
"""Of the word that names a message; the others number parcels, more than a process will ever see."""
_LEVELS = (logging.CRITICAL,) * 3 + (
    logging.ERROR,
    logging.WARNING,
    logging.INFO,
    logging.INFO,
    logging.DEBUG,
)
"""Python's levels by syslog's."""
_FOUND_ROWS = 5


class DirectPublisher:
    """
    Own a producer of librdkafka; a Publisher.

    What becomes of messages, and librdkafka's log lines, arrive as events in its main queue. A message is known
    by the number of its parcel and its index, in one word.

    Args:
        config: of librdkafka.
        topics: name by kind.

    Raises:
        DirectAccessRefused: it does not work with this library or these settings.
    """

    def __init__(self, config: Mapping[str, Any], topics: Mapping[Kind, str]) -> None:
        self._library = open_library()
        self._functions = addresses_of(FUNCTIONS)
        self._handle = self._new_producer(_texts(config))
        self._library.rd_kafka_set_log_queue(self._handle, None)
        self._queue = self._library.rd_kafka_queue_get_main(self._handle)
        self._topics = np.array(
            [self._library.rd_kafka_topic_new(self._handle, topics[kind].encode(), None) for kind in KINDS],
            np.int64,
        )
        self._vus = new_vus()
        self._result = np.zeros(4, np.int64)
        self._found = np.empty((_FOUND_ROWS, 1_024), np.int64)
        self._on_way = 0

    def send(self, parcel: Parcel, room: int) -> tuple[int, int]:
        """As Publisher says."""
        text = np.frombuffer(parcel.batch.packed, np.uint8)
        self._result[SENT] = room
        send_messages(
            text.ctypes.data,
            text.shape[0],
            parcel.next_index,
            parcel.next_byte,
            parcel.is_delivered,
            parcel.number << _INDEX_BITS,
            self._handle,
            self._topics,
            self._functions,
            self._vus,
            self._vus.ctypes.data,
            self._result,
        )
        parcel.next_index, parcel.next_byte = int(self._result[NEXT_INDEX]), int(self._result[NEXT_BYTE])
        sent = int(self._result[SENT])
        self._on_way += sent
        return sent, int(self._result[REFUSAL])

    def reports(self, timeout_s: float) -> Reports:
        """As Publisher says."""
        if self._on_way > self._found.shape[1]:
            self._found = np.empty((_FOUND_ROWS, 2 * self._on_way), np.int64)
        read = []
        while True:
            read_reports(self._queue, int(timeout_s * 1000), self._functions, self._found, self._result)
            count, event = int(self._result[COUNT]), int(self._result[OTHER_EVENT])
            read.append(self._found[:, :count].copy())
            self._on_way -= count
            if not event:
                break
            self._tell(event)
            timeout_s = 0
        opaque, error, topic, partition, offset = read[0] if len(read) == 1 else np.concatenate(read, axis=1)
        return Reports(
            parcel=opaque >> _INDEX_BITS,
            index=opaque & ((1 << _INDEX_BITS) - 1),
            error=error,
            topic=(topic == self._topics[1]).astype(np.int64),
            partition=partition,
            offset=offset,
        )

    def purge(self, *, in_flight: bool) -> None:
        """As Publisher says."""
        self._library.rd_kafka_purge(self._handle, _PURGE_QUEUE | (_PURGE_IN_FLIGHT if in_flight else 0))

    def close(self) -> None:
        """As Publisher says."""
        for topic in self._topics.tolist():
            self._library.rd_kafka_topic_destroy(topic)
        self._library.rd_kafka_queue_destroy(self._queue)
        self._library.rd_kafka_destroy(self._handle)
        del self._topics, self._queue, self._handle  # So that nobody uses what is gone.

    def _new_producer(self, config: Mapping[str, str]) -> int:
        library, said = self._library, ctypes.create_string_buffer(_ERROR_BYTES)
        conf = library.rd_kafka_conf_new()
        for name, value in {**config, "log.queue": "true"}.items():
            if library.rd_kafka_conf_set(conf, name.encode(), value.encode(), said, _ERROR_BYTES) != _CONF_OK:
                library.rd_kafka_conf_destroy(conf)
                raise DirectAccessRefused(said.value.decode(errors="replace"))
        library.rd_kafka_conf_set_events(conf, _EVENTS)
        handle: int | None = library.rd_kafka_new(_PRODUCER, conf, said, _ERROR_BYTES)
        if handle is None:
            library.rd_kafka_conf_destroy(conf)
            raise DirectAccessRefused(said.value.decode(errors="replace"))
        return handle

    def _tell(self, event: int) -> None:
        """Pass a log line on; what else there is needs no answer."""
        facility, line, level = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_int()
        places = [ctypes.byref(one) for one in (facility, line, level)]
        if self._library.rd_kafka_event_log(event, *places) == 0:
            name = self._library.rd_kafka_name(self._handle)
            words = [(text or b"").decode(errors="replace") for text in (facility.value, name, line.value)]
            log.log(_LEVELS[level.value], "%s [%s] %s", *words)
        self._library.rd_kafka_event_destroy(event)


def _texts(config: Mapping[str, Any]) -> dict[str, str]:
    """Write settings as librdkafka reads them; those that confluent-kafka has a part in are refused."""
    for name, value in config.items():
        if not isinstance(value, str | int | float):
            raise DirectAccessRefused(f"{name} takes an object")
        if name == "plugin.library.paths" or "oauthbearer" in f"{name} {value}".lower():
            raise DirectAccessRefused(f"{name} was not tried")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in config.items()
    }
