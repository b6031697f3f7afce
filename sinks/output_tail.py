"""
This file looks what of an outbox the broker already holds, after an owner that could not say so any more.

Each shard's meta keeps, for every output partition, where the last entry lies that was confirmed and trimmed. What
was published behind it is in that partition's own tail; an entry found there, byte for byte, is not sent again.
"""

import logging
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sinks.outbox import Kind, OutboxBatch, OutboxEntry

READ_MAX_S = 10.0
_READ_MESSAGES = 10_000
_ASK_S = 5.0
_log = logging.getLogger("tierwise.output_tail")
_Content = tuple[bytes | None, tuple[tuple[str, bytes], ...], bytes | None]
_Place = tuple[str, int]


class OutputTail:
    """
    Read the ends of the output topics.

    Args:
        kafka: librdkafka settings.
        topics: name of the topic by kind of entry.
    """

    def __init__(self, kafka: Mapping[str, Any], topics: Mapping[Kind, str]) -> None:
        self._kafka = dict(kafka)
        self._topics = dict(topics)

    def published(self, batches: Sequence[OutboxBatch], tails: Mapping[str, int]) -> frozenset[str]:
        """
        Answer the ids of those messages that are in their topic already.

        When the broker does not answer in time nothing is known to be there: sending twice is allowed, losing is not.

        Args:
            tails: where to begin to look, by tail_name; a partition without is read from its beginning.
        """
        entries = [entry for batch in batches for entry in batch.entries()]
        names = {self._topics[entry.kind] for entry in entries}
        try:
            held = self._contents(names, tails)
        except KafkaException as error:
            _log.warning("event=tail.unread error=%s", error.args[0])
            return frozenset()
        return frozenset(_found(entries, held))

    def _contents(self, topics: Iterable[str], tails: Mapping[str, int]) -> set[_Content]:
        group: dict[str, Any] = {"group.id": "tierwise-tail", "enable.auto.commit": False}
        reading = {"enable.partition.eof": True, "auto.offset.reset": "earliest"}
        consumer = Consumer({**self._kafka, **group, **reading}, logger=_log)
        try:
            open_ends = {(one.topic, one.partition): one for one in self._starts(consumer, topics, tails)}
            consumer.assign(list(open_ends.values()))
            held: set[_Content] = set()
            give_up_s = time.monotonic() + READ_MAX_S
            while open_ends:
                if time.monotonic() >= give_up_s:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                for message in consumer.consume(_READ_MESSAGES, 0.1):
                    error = message.error()
                    if error is None:
                        held.add(_content_of(message))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_ends.pop((message.topic() or "", message.partition() or 0), None)
            return held
        finally:
            consumer.close()

    def _starts(
        self, consumer: Consumer, topics: Iterable[str], tails: Mapping[str, int]
    ) -> list[TopicPartition]:
        starts = []
        for topic in topics:
            for partition in consumer.list_topics(topic, timeout=_ASK_S).topics[topic].partitions:
                first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_S)
                # A topic that was made anew is shorter than we left it; one that was cut begins later.
                at = min(max(tails.get(tail_name((topic, partition)), first), first), end)
                starts.append(TopicPartition(topic, partition, at))
        return starts


def _found(entries: Iterable[OutboxEntry], held: Container[_Content]) -> Iterator[str]:
    """
    Yield the ids of entries that are held, for each key up to the first that is not.

    Compaction or retention may have taken one and left those behind it. Sent alone it would be the newest of
    its key, which a compacted topic then keeps: so all behind it are sent again too.
    """
    sent_again: set[bytes] = set()
    for entry in entries:
        # A tombstone is the same each time; one before this one may lie in the tail.
        if entry.headers and _content(entry) in held and entry.key not in sent_again:
            yield entry.id
        elif entry.key is not None:
            sent_again.add(entry.key)


def tail_name(place: _Place) -> str:
    """Spell an output partition, `tierwise.changes:3`."""
    return f"{place[0]}:{place[1]}"


def _content(entry: OutboxEntry) -> _Content:
    return entry.key, entry.headers, entry.value


def _content_of(message: Message) -> _Content:
    headers: Any = message.headers() or ()
    return message.key(), tuple((name, value) for name, value in headers), message.value()
