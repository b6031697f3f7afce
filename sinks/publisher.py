"""This file hands messages of the outbox to librdkafka and hears what became of them, by confluent-kafka's Producer."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.outbox import KINDS, Kind
from sinks.parcel import Int64s, Parcel

log = logging.getLogger("tierwise.relay")


@dataclass(frozen=True, slots=True)
class Reports:
    """
    What became of messages, one column each.

    parcel, index: which message.
    error: librdkafka's code, 0 for a delivery.
    topic: in the order of KINDS.
    offset: below 0 when the broker did not say.
    """

    parcel: Int64s
    index: Int64s
    error: Int64s
    topic: Int64s
    partition: Int64s
    offset: Int64s


class Publisher(Protocol):
    """
    Hand messages to one producer; after a failure there is a new one.

    Each message that was handed over is reported once, also after a purge.
    """

    def send(self, parcel: Parcel, room: int) -> tuple[int, int]:
        """
        Hand over what is not delivered of a parcel, from its next message on, and move that on.

        Args:
            room: the most messages to hand over.

        Returns:
            how many were handed over, and librdkafka's code for the one that was refused, 0 without one.
        """

    def reports(self, timeout_s: float) -> Reports:
        """Answer what has become known, after a wait if that is nothing."""

    def purge(self, *, in_flight: bool) -> None:
        """Take back what has not left, and if wanted give up what has."""

    def close(self) -> None:
        """Let go of the producer."""


class ProducerPublisher:
    """
    Publish through confluent-kafka's objects.

    Args:
        config: of librdkafka.
        topics: name by kind.
    """

    def __init__(self, config: Mapping[str, Any], topics: Mapping[Kind, str]) -> None:
        # Errors of the connection heal by themselves; fatal ones are heard of by every message's report.
        self._producer = Producer({**config, "error_cb": lambda error: None}, logger=log)
        self._topics = dict(topics)
        self._settled: list[Sequence[int]] = []

    def send(self, parcel: Parcel, room: int) -> tuple[int, int]:
        """As Publisher says."""
        sent = 0
        while not parcel.is_handed_over:
            if not parcel.is_delivered[parcel.next_index]:
                if sent == room:
                    break
                if refusal := self._produce(parcel, parcel.next_index):
                    return sent, refusal
                sent += 1
            parcel.next_index += 1
        return sent, 0

    def reports(self, timeout_s: float) -> Reports:
        """As Publisher says."""
        # It raises when the producer has failed for good; then what is on its way is reported as failed.
        with contextlib.suppress(KafkaException):
            self._producer.poll(timeout_s)
        settled, self._settled = self._settled, []
        return Reports(*np.array(settled, np.int64).reshape(-1, 6).T)

    def purge(self, *, in_flight: bool) -> None:
        """As Publisher says."""
        self._producer.purge(in_flight=in_flight)

    def close(self) -> None:
        """As Publisher says: the producer ends with its last reference."""
        del self._producer

    def _produce(self, parcel: Parcel, index: int) -> int:
        entry = parcel.entries[index]
        try:
            self._producer.produce(
                self._topics[entry.kind],
                key=entry.key,
                value=entry.value,
                headers=list(entry.headers),
                on_delivery=partial(self._note, parcel.number, index, KINDS.index(entry.kind)),
            )
        except BufferError:
            return int(KafkaError._QUEUE_FULL)
        except KafkaException as error:
            return int(error.args[0].code())
        return 0

    def _note(self, parcel: int, index: int, topic: int, error: KafkaError | None, message: Message) -> None:
        code = 0 if error is None else error.code()
        offset = message.offset()
        self._settled.append(
            (parcel, index, code, topic, message.partition() or 0, -1 if offset is None else offset)
        )
