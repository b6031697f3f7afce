"""From Kafka's message objects to batches. This file is the only Python that touches every message."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, Message

from flows.items import AtEnd, RawBatch
from flows.membership import raise_consumer_error
from scoring.events import Envelope
from sinks.dead_letters import attempt_in, headers_of

Int64s = npt.NDArray[np.int64]

NO_TIME_MS = 253_402_300_799_999
"""For a message whose broker gave it no time: no event is ahead of the year 9999."""


@dataclass(frozen=True, slots=True)
class Envelopes:
    """
    Read what messages have around their values, one at a time and only when asked.

    Keeping the messages until their batch is scored cost nothing that could be measured. Reading the headers
    of one costs 2.5 us, more than all else that is done with it here.
    """

    messages: Sequence[Any]
    _known: dict[int, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def __call__(self, row: int) -> Envelope:
        """Answer the envelope of one message."""
        return Envelope(self.messages[row].key(), attempt_in(self.headers(row)))

    def headers(self, row: int) -> list[tuple[str, bytes | None]]:
        """Answer the headers of one message, which can be asked for but once."""
        if row not in self._known:
            self._known[row] = headers_of(self.messages[row])
        return self._known[row]


def split(messages: Sequence[Any], topics: Mapping[str, int]) -> list[RawBatch | AtEnd]:
    """
    Sort messages into one batch per topic partition, each in offset order, and tell which partitions ended.

    A partition's AtEnd stands behind its batch, and is left out when messages came after it. Mapping
    C functions over the list costs 0.2 us a message; any Python expression per message would double that.

    Args:
        messages: of one consume(), confluent_kafka.Message.
        topics: topic name -> index in the order of settings.
    """
    times = np.array([message.timestamp()[1] for message in messages], dtype=np.int64)
    ends: dict[int, int] = {}
    # What is no message has no time; a message may lack one too.
    if notices := [n for n in np.flatnonzero(times <= 0).tolist() if messages[n].error() is not None]:
        ends = _ends([messages[n] for n in notices], topics)
        times = np.delete(times, notices)
        dropped = set(notices)
        messages = [message for n, message in enumerate(messages) if n not in dropped]
    times[times <= 0] = NO_TIME_MS
    batches = _batches(messages, times, topics)
    return with_ends(batches, ends, topics)


def _batches(messages: Sequence[Any], times: Int64s, topics: Mapping[str, int]) -> dict[int, RawBatch]:
    """Cut into runs of one topic partition, then join the runs of each; fetches come in runs of thousands."""
    count = len(messages)
    if not count:
        return {}
    index_of: Any = topics.__getitem__
    topic = np.fromiter(map(index_of, map(Message.topic, messages)), np.int64, count)
    code = np.fromiter(map(Message.partition, messages), np.int64, count) * len(topics) + topic
    values = list(map(Message.value, messages))
    offsets = np.fromiter(map(Message.offset, messages), np.int64, count)
    cuts = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist(), count]
    runs: dict[int, list[slice]] = {}
    for first, last in pairwise(cuts):
        runs.setdefault(int(code[first]), []).append(slice(first, last))
    batches = {}
    for one, pieces in runs.items():
        around = Envelopes(_joined(messages, pieces))
        batches[one] = RawBatch(
            *divmod(one, len(topics)),
            values=_joined(values, pieces),
            offsets=np.concatenate([offsets[piece] for piece in pieces]),
            ingest_time_ms=np.concatenate([times[piece] for piece in pieces]),
            envelope_of=around,
            headers_of=around.headers,
        )
    return batches


def with_ends(
    batches: Mapping[int, RawBatch], ends: Mapping[int, int], topics: Sized
) -> list[RawBatch | AtEnd]:
    """
    Put the ends of topic partitions behind their batches, without those that messages came after.

    Args:
        batches, ends: by partition number times the number of topics, plus the topic's index.
    """
    still = [
        AtEnd(*divmod(code, len(topics)), offset=offset)
        for code, offset in ends.items()
        if code not in batches or batches[code].offsets[-1] < offset
    ]
    return [*batches.values(), *still]


def is_end(error: KafkaError, topic: str | None, partition: int, offset: int) -> bool:
    """Tell whether what came in place of a message says that a partition ended; raises what ends the reading."""
    if error.code() != KafkaError._PARTITION_EOF:
        raise_consumer_error(error, topic, partition, offset)
        return False
    return True


def _joined(items: Sequence[Any], pieces: Sequence[slice]) -> list[Any]:
    return list(chain.from_iterable(items[piece] for piece in pieces))


def _ends(notices: Sequence[Any], topics: Mapping[str, int]) -> dict[int, int]:
    """Answer where topic partitions ended: the offset that the next message will get, by code."""
    ends = {}
    for notice in notices:
        if is_end(notice.error(), notice.topic(), notice.partition(), notice.offset()):
            ends[notice.partition() * len(topics) + topics[notice.topic()]] = notice.offset()
    return ends
