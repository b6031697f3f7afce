"""This file shows that the relay delivers every entry, in each user's order, whatever the broker does."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from flows.dev.embedded import KafkaServer, start_kafka
from sinks.outbox import OutboxBatch, OutboxEntry, pack
from sinks.relay import Relay
from tests.conftest import Topics, make_topics

PARTITIONS = 4


def change(number: int, users: int = 7) -> OutboxEntry:
    """Make a change of one of a few users."""
    return OutboxEntry("change", b"u%d" % (number % users), (("n", b"%d" % number),), b"%d" % number)


def batch(first: int, count: int, users: int = 7, write_number: int = 1) -> OutboxBatch:
    """Make changes numbered in order."""
    return pack([change(number, users) for number in range(first, first + count)], f"{write_number}-{first}")


def read_all(kafka: KafkaServer, topic: str, count: int) -> list[tuple[bytes | None, bytes]]:
    """Read at least this many messages as (key, value)."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"read-{topic}"})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    messages: list[tuple[bytes | None, bytes]] = []
    give_up_s = time.monotonic() + 20
    while len(messages) < count and time.monotonic() < give_up_s:
        messages += [(m.key(), m.value()) for m in consumer.consume(1_000, 0.2) if not m.error()]
    consumer.close()
    return messages


def first_seen_in_order(messages: list[tuple[bytes | None, bytes]]) -> bool:
    """Tell whether each user's values rise once repeats are dropped."""
    newest: dict[bytes | None, int] = {}
    seen: set[bytes] = set()
    for key, value in messages:
        if value in seen:
            continue
        seen.add(value)
        if int(value) < newest.get(key, -1):
            return False
        newest[key] = int(value)
    return True


@pytest.fixture
def relay(kafka: KafkaServer, topics: Topics) -> Iterator[Relay]:
    """Open a relay to the topics of the test."""
    relay = Relay(kafka.client_settings, topics.outputs)
    yield relay
    relay.close()


def test_relay__delivers_each_users_entries_in_order(
    kafka: KafkaServer, topics: Topics, relay: Relay
) -> None:
    """Every entry arrives once in its user's order, and the mark ends at the last one."""
    relay.publish(3, [batch(first, 20) for first in range(0, 500, 20)])
    assert relay.flush(20)
    assert relay.delivered_to(3) == "1-499"
    assert relay.pending(3) == 0
    messages = read_all(kafka, topics.changes, 500)
    assert sorted(int(value) for _, value in messages) == list(range(500))
    assert first_seen_in_order(messages)


def test_relay__dead_letters_go_to_their_topic(kafka: KafkaServer, topics: Topics, relay: Relay) -> None:
    """A dead letter has no key and goes to the dead-letter topic."""
    letter = OutboxEntry("dead_letter", None, (("reason", b"not_json"),), b"{")
    relay.publish(0, [pack([letter], "4-0")])
    assert relay.flush(20)
    assert read_all(kafka, topics.dead_letters, 1) == [(None, b"{")]


def test_relay__a_refused_entry_lets_nothing_overtake_it(
    kafka: KafkaServer, topics: Topics, relay: Relay
) -> None:
    """An entry the producer refuses stays the next to go: what was before it arrives, nothing behind it."""
    refused = OutboxEntry("change", b"huge", (), b"x" * 2_000_000)
    relay.publish(0, [batch(0, 2), pack([change(2), refused, change(4)], "1-2"), batch(5, 20)])
    assert not relay.flush(2.0)
    assert relay.delivered_to(0) == "1-1"
    assert relay.pending(0) == 23
    assert relay.failures >= 2
    assert sorted(int(value) for _, value in read_all(kafka, topics.changes, 3)) == [0, 1, 2]


def test_relay__a_forgotten_shard_has_no_mark(topics: Topics, relay: Relay) -> None:
    """Confirmations of a shard that is not ours any more count for nothing."""
    relay.publish(0, [batch(0, 50)])
    relay.forget(0)
    assert relay.flush(5)
    assert relay.delivered_to(0) is None
    relay.publish(0, [batch(0, 1, write_number=9)])
    assert relay.flush(20)
    assert relay.delivered_to(0) == "9-0"


def test_relay__a_bound_on_what_is_on_the_way_holds_back_the_rest(kafka: KafkaServer, topics: Topics) -> None:
    """With room for three messages on the way all of five hundred arrive in order."""
    settings = {**kafka.client_settings, "queue.buffering.max.messages": 3}
    relay = Relay(settings, topics.outputs, in_flight_max=50)
    relay.publish(0, [batch(0, 500, users=100)])
    assert relay.flush(30)
    assert first_seen_in_order(read_all(kafka, topics.changes, 500))
    relay.close()


def test_relay__a_broker_that_stops_answering_loses_nothing(prefix: str) -> None:
    """Entries published while the broker is frozen arrive when it goes on, each user's in order."""
    with start_kafka() as kafka:
        topics = make_topics(kafka, prefix, PARTITIONS)
        relay = Relay(kafka.client_settings, topics.outputs)
        relay.publish(0, [batch(0, 50)])
        assert relay.flush(20)
        kafka.pause()
        relay.publish(0, [batch(50, 50)])
        assert not relay.flush(1.0)
        assert relay.delivered_to(0) == "1-49"
        kafka.resume()
        assert relay.flush(30)
        assert first_seen_in_order(read_all(kafka, topics.changes, 100))
        relay.close()
