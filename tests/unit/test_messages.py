"""Tests of how Kafka's messages are sorted into batches."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from hypothesis import given
from hypothesis import strategies as st

from flows.items import AtEnd, RawBatch
from flows.membership import OffsetOutOfRange
from flows.messages import NO_TIME_MS, Envelopes, split

TOPICS = {"clickstream": 0, "orders": 1}


def message(topic: str, partition: int, offset: int) -> Message:
    """Make a message whose value and time tell where it stood."""
    value = f"{topic}/{partition}/{offset}".encode()
    return Message(
        topic=topic, partition=partition, offset=offset, value=value, timestamp=(1, 1_000 + offset)
    )


def notice(topic: str, partition: int, offset: int, code: int = KafkaError._PARTITION_EOF) -> Message:
    """Make what consume() returns in place of a message."""
    error = KafkaError(code)
    return Message(topic=topic, partition=partition, offset=offset, error=error, timestamp=(0, -1))


@given(st.lists(st.tuples(st.sampled_from(sorted(TOPICS)), st.integers(0, 2)), max_size=60))
def test_split__keeps_every_message_in_its_order(places: list[tuple[str, int]]) -> None:
    """Whatever the mixture, each topic partition gets one batch with all of its messages, in offset order."""
    counts: dict[tuple[str, int], int] = {}
    messages = []
    for place in places:
        counts[place] = counts.get(place, -1) + 1
        messages.append(message(*place, counts[place]))
    found = {}
    for batch in split(messages, TOPICS):
        assert isinstance(batch, RawBatch)
        topic = sorted(TOPICS)[batch.topic]
        found[topic, batch.partition] = len(batch.values) - 1
        assert batch.values == [f"{topic}/{batch.partition}/{n}".encode() for n in range(len(batch.values))]
        assert batch.offsets.tolist() == list(range(len(batch.values)))
        assert batch.ingest_time_ms.tolist() == [1_000 + n for n in range(len(batch.values))]
    assert found == counts


def test_split__keeps_a_tombstone_and_a_message_without_a_time() -> None:
    """A message without value is a message, and so is one whose broker gave it no time."""
    bare = Message(topic="orders", partition=1, offset=3, value=None, timestamp=(0, -1))
    (batch,) = split([bare], TOPICS)
    assert isinstance(batch, RawBatch)
    assert (batch.values, batch.offsets.tolist()) == ([None], [3])
    assert batch.ingest_time_ms.tolist() == [NO_TIME_MS]


def test_split__keeps_key_and_attempt_for_those_who_ask() -> None:
    """The envelope of a message is found by its row, also where the reads of two partitions alternate."""
    messages = [
        Message(
            topic="orders", partition=number % 2, offset=number, value=b"{}", key=b"k%d" % number,
            headers=[("attempt", b"%d" % number)] if number else None, timestamp=(1, 1_000),
        )
        for number in range(5)
    ]  # fmt: skip
    even, odd = split(messages, TOPICS)
    assert isinstance(even, RawBatch)
    assert isinstance(odd, RawBatch)
    assert [even.envelope_of(row) for row in range(3)] == [(b"k0", 0), (b"k2", 2), (b"k4", 4)]
    assert [odd.envelope_of(row) for row in range(2)] == [(b"k1", 1), (b"k3", 3)]


def test_split__asks_a_message_for_its_headers_once() -> None:
    """Whoever reads headers before the envelope leaves them to it: confluent-kafka gives them but once."""

    class OnceOnly:
        def __init__(self) -> None:
            self.left = [[("attempt", b"2"), ("ce_id", b"a")]]

        def headers(self) -> list[tuple[str, bytes]]:
            return self.left.pop()

        def key(self) -> bytes:
            return b"k"

    around = Envelopes([OnceOnly()])
    assert around.headers(0) == around.headers(0) == [("attempt", b"2"), ("ce_id", b"a")]
    assert around(0) == (b"k", 2)


def test_split__tells_the_end_only_where_it_still_is() -> None:
    """An end is told behind its batch; where messages came after it, it is none any more."""
    found = split(
        [
            message("orders", 0, 7),
            notice("orders", 0, 8),
            notice("clickstream", 0, 4),
            message("clickstream", 0, 4),
            notice("orders", 2, 0),
        ],
        TOPICS,
    )
    assert [type(item) for item in found] == [RawBatch, RawBatch, AtEnd, AtEnd]
    assert found[2:] == [AtEnd(0, 1, 8), AtEnd(2, 1, 0)]


def test_split__of_nothing_is_nothing() -> None:
    """An empty read gives no items."""
    assert split([], TOPICS) == []


def test_split__raises_what_reading_cannot_go_on_after() -> None:
    """Messages that were deleted unread end the worker; so does a lost permission."""
    with pytest.raises(OffsetOutOfRange, match="orders partition 1: Kafka does not have offset 5"):
        split([notice("orders", 1, 5, KafkaError._AUTO_OFFSET_RESET)], TOPICS)
    with pytest.raises(KafkaException):
        split([notice("orders", 1, 5, KafkaError.TOPIC_AUTHORIZATION_FAILED)], TOPICS)
    assert split([notice("orders", 1, 5, KafkaError._TRANSPORT)], TOPICS) == []
