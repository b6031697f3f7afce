"""This file reads the assigned partitions through a queue of our own, and copies what comes into batches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.direct.handle import handle_of
from flows.direct.kernels import FUNCTIONS, KEY, PAYLOAD, Facts, copy_texts, give_back, new_facts, read_facts
from flows.items import AtEnd, RawBatch
from flows.messages import NO_TIME_MS, is_end, with_ends
from scoring.events import Bytes, Envelope, Int64s
from scoring.joined import PADDING, JoinedValues
from sinks.dead_letters import ATTEMPT
from sinks.librdkafka import addresses_of, open_library

Chosen = Int64s | slice
"""Some of the messages that were read together."""


@dataclass(frozen=True, slots=True)
class CopiedEnvelopes:
    """Hold keys and numbers of replays of a batch's messages; key n is text[start[n]:start[n + 1]]."""

    text: Bytes
    start: Int64s
    has_key: npt.NDArray[np.bool_]
    attempt: Int64s

    def __call__(self, row: int) -> Envelope:
        """Answer the envelope of one message."""
        key = self.text[self.start[row] : self.start[row + 1]].tobytes() if self.has_key[row] else None
        return Envelope(key, int(self.attempt[row]))


class DirectQueue:
    """
    Read messages without an object for each.

    The partitions' own queues are forwarded to one of ours, which then holds messages and nothing else; what
    the group decides still arrives in Consumer.consume(). No message of librdkafka outlives a call of `read`:
    everything is copied, and given back.

    Args:
        topics: names in the order of settings.
        batch_messages: the most that one read answers.
        value_bytes_max: larger values are kept apart from the text that is scanned.

    Raises:
        DirectAccessRefused: it does not work with this library.
    """

    def __init__(
        self, consumer: Consumer, topics: Sequence[str], batch_messages: int, value_bytes_max: int
    ) -> None:
        self._topics = list(topics)
        self._value_bytes_max = value_bytes_max
        self._functions = open_library()
        self._addresses = addresses_of(FUNCTIONS)
        self._handle = handle_of(consumer)
        self._queue = self._functions.rd_kafka_queue_new(self._handle)
        self._partitions: dict[tuple[str, int], int] = {}
        self._messages = np.zeros(batch_messages, np.int64)
        self._scratch = np.zeros(2, np.int64)
        self._attempt = np.frombuffer(ATTEMPT.encode() + b"\0", np.uint8)
        self._topic_at: dict[int, int] = {}

    def forward(self, partitions: Iterable[TopicPartition]) -> None:
        """Have what comes from these partitions come here; to be called before they are assigned."""
        for one in partitions:
            place = one.topic, one.partition
            if place not in self._partitions:
                own = self._functions.rd_kafka_queue_get_partition(
                    self._handle, one.topic.encode(), one.partition
                )
                self._partitions[place] = own
        self._forward_all()

    def read(self, timeout_s: float) -> list[RawBatch | AtEnd]:
        """
        Wait for messages; answer one batch per topic partition in offset order, and which partitions ended.

        Raises:
            OffsetOutOfRange, KafkaException: as flows.messages.split.
        """
        self._forward_all()
        count = self._functions.rd_kafka_consume_batch_queue(
            self._queue, int(timeout_s * 1000), self._messages.ctypes.data, self._messages.shape[0]
        )
        if count <= 0:
            return []
        messages = self._messages[:count]
        try:
            facts = new_facts(count)
            read_facts(messages, self._addresses, self._scratch.ctypes.data, self._attempt.ctypes.data, facts)
            return self._batches(messages, facts)
        finally:
            give_back(messages, self._addresses)

    def close(self) -> None:
        """Let go of librdkafka; to be called before the consumer is closed."""
        for own in self._partitions.values():
            self._functions.rd_kafka_queue_forward(own, None)
            self._functions.rd_kafka_queue_destroy(own)
        self._partitions.clear()
        self._functions.rd_kafka_queue_destroy(self._queue)

    def _forward_all(self) -> None:
        """
        Forward every partition's queue, once more if need be, with what has gathered in it.

        librdkafka drops the forwarding, at a moment of its own, when a partition is unassigned, and does not
        restore it; doing it at each read costs less than a microsecond a partition.
        """
        for own in self._partitions.values():
            self._functions.rd_kafka_queue_forward(own, self._queue)

    def _batches(self, messages: Int64s, facts: Facts) -> list[RawBatch | AtEnd]:
        code = facts.partition * len(self._topics) + self._topic_indexes(facts.topic)
        ends: dict[int, int] = {}
        failed = np.flatnonzero(facts.error)
        for n in failed.tolist():
            partition, topic = divmod(int(code[n]), len(self._topics))
            offset = int(facts.offset[n])
            if is_end(KafkaError(int(facts.error[n])), self._topics[topic], partition, offset):
                ends[int(code[n])] = offset
        own = _own_messages(code, failed)
        batches = {one: self._batch(one, messages, facts, chosen) for one, chosen in own.items()}
        return with_ends(batches, ends, self._topics)

    def _topic_indexes(self, addresses: Int64s) -> Int64s:
        """Look topics up by librdkafka's object, which does not change while a partition is forwarded."""
        indexes = np.full(addresses.shape[0], -1, np.int64)
        for address, index in self._topic_at.items():
            indexes[addresses == address] = index
        for address in set(addresses[indexes < 0].tolist()):
            name = self._functions.rd_kafka_topic_name(address).decode()
            self._topic_at[address] = self._topics.index(name)
            indexes[addresses == address] = self._topic_at[address]
        return indexes

    def _batch(self, code: int, messages: Int64s, facts: Facts, chosen: Chosen) -> RawBatch:
        own = messages[chosen]
        offsets, time_ms = facts.offset[chosen].copy(), facts.time_ms[chosen].copy()  # They live longest.
        time_ms[time_ms <= 0] = NO_TIME_MS
        return RawBatch(
            *divmod(code, len(self._topics)),
            values=self._values(own, facts.size[chosen], facts.has_value[chosen]),
            offsets=offsets,
            ingest_time_ms=time_ms,
            envelope_of=self._envelopes(own, facts.key_size[chosen], facts.attempt[chosen]),
        )

    def _values(self, messages: Int64s, size: Int64s, has_value: Int64s) -> JoinedValues:
        is_scanned = (has_value == 1) & (size <= self._value_bytes_max)
        text, start = _copied(messages, PAYLOAD, np.where(is_scanned, size, 0), gap=1)
        text[-len(PADDING) :] = 0
        text[start[1:] - 1] = 0
        apart: dict[int, bytes | None] = {}
        for n in np.flatnonzero(~is_scanned).tolist():
            whole, _ = _copied(messages[n : n + 1], PAYLOAD, size[n : n + 1], gap=0)
            apart[n] = whole[: size[n]].tobytes() if has_value[n] else None
        return JoinedValues(text, start, apart)

    def _envelopes(self, messages: Int64s, key_size: Int64s, attempt: Int64s) -> CopiedEnvelopes:
        text, start = _copied(messages, KEY, np.maximum(key_size, 0), gap=0)
        return CopiedEnvelopes(text, start, key_size >= 0, attempt)


def _own_messages(code: Int64s, failed: Int64s) -> dict[int, Chosen]:
    """Answer which messages each topic partition has, in their order; mostly they stand in one piece."""
    first = np.flatnonzero(np.diff(code, prepend=-1))
    codes = code[first].tolist()
    if not failed.size and len(set(codes)) == len(codes):
        cuts = pairwise([*first.tolist(), code.shape[0]])
        return {one: slice(*cut) for one, cut in zip(codes, cuts, strict=True)}
    rest = np.delete(np.arange(code.shape[0]), failed)
    return {int(one): rest[code[rest] == one] for one in np.unique(code[rest])}


def _copied(messages: Int64s, field: int, size: Int64s, gap: int) -> tuple[Bytes, Int64s]:
    """Copy values or keys into one text with room for PADDING behind the last."""
    start = np.zeros(messages.shape[0] + 1, np.int64)
    np.cumsum(size + gap, out=start[1:])
    text = np.empty(int(start[-1]) + len(PADDING), np.uint8)
    copy_texts(messages, field, start, gap, text.ctypes.data)
    return text, start
