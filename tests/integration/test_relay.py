"""This file shows that the relay delivers every entry, in each user's order, whatever the broker does."""

import contextlib
import ctypes
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.dev.embedded import KafkaServer, start_kafka
from sinks import librdkafka
from sinks.direct_publisher import DirectPublisher
from sinks.librdkafka import open_library
from sinks.outbox import OutboxBatch, OutboxEntry, pack
from sinks.parcel import Parcel
from sinks.publisher import ProducerPublisher
from sinks.relay import Relay
from tests.conftest import Topics, make_topics
from tests.integration import outcome

PARTITIONS = 4


def change(number: int, users: int = 7) -> OutboxEntry:
    """Make a change of one of a few users."""
    return OutboxEntry("change", b"u%d" % (number % users), (("n", b"%d" % number),), b"%d" % number)


def batch(first: int, count: int, users: int = 7, write_number: int = 1) -> OutboxBatch:
    """Make changes numbered in order."""
    return pack([change(number, users) for number in range(first, first + count)], f"{write_number}-{first}")


def read_all(kafka: KafkaServer, topic: str, count: int) -> list[tuple[bytes | None, bytes]]:
    """Read messages as (key, value), with repeats, until so many different ones are there."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"read-{topic}"})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    messages: list[tuple[bytes | None, bytes]] = []
    give_up_s = time.monotonic() + 20
    while len(set(messages)) < count and time.monotonic() < give_up_s:
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


OpenRelay = Callable[..., Relay]


@pytest.fixture(params=["direct", "objects"])
def open_relay(topics: Topics, request: pytest.FixtureRequest) -> Iterator[OpenRelay]:
    """Open relays to the topics of the test, that publish in either way; they are closed behind it."""
    opened: list[Relay] = []
    kind = {"direct": DirectPublisher, "objects": ProducerPublisher}[request.param]

    def open_one(settings: dict[str, Any], topics: Topics = topics, **more: Any) -> Relay:
        relay = Relay(settings, topics.outputs, direct=request.param == "direct", **more)
        opened.append(relay)
        assert isinstance(relay._publisher, kind)
        return relay

    yield open_one
    for relay in opened:
        relay.close()


@pytest.fixture
def relay(kafka: KafkaServer, open_relay: OpenRelay) -> Relay:
    """Open a relay as a worker does."""
    return open_relay(kafka.client_settings)


def break_for_good(relay: Relay) -> None:
    """Let librdkafka take the relay's producer for failed; nothing can be sent with it any more."""
    publisher: Any = relay._publisher
    if isinstance(publisher, DirectPublisher):
        handle = publisher._handle
    else:
        handle = ctypes.c_void_p.from_address(id(publisher._producer) + object.__basicsize__).value
    fail = open_library().rd_kafka_test_fatal_error
    fail.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    assert fail(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"as a test wants it") == 0


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
    assert (relay.delivered_to(0), relay.published) == ("9-0", 1)


def test_relay__tells_how_far_the_outputs_are_filled(
    kafka: KafkaServer, topics: Topics, relay: Relay
) -> None:
    """The tails end behind the last message of each output partition, changes and dead letters apart."""
    letters = [OutboxEntry("dead_letter", b"u1", (), b"%d" % number) for number in range(3)]
    relay.publish(2, [batch(0, 40), pack(letters, "2-0")])
    assert relay.flush(20)
    ends = dict[str, int]()
    for topic in topics.outputs.values():
        for message in outcome.read_all(kafka, topic):
            place = f"{topic}:{message.partition()}"
            ends[place] = max(ends.get(place, 0), message.offset() + 1)
    assert relay.tails(2) == ends
    assert relay.tails(3) == {}


def test_relay__carries_every_message_as_it_is(kafka: KafkaServer, topics: Topics, relay: Relay) -> None:
    """Whatever may be absent, empty, long, repeated or no text arrives so."""
    texts = (None, b"", b"x", b"\xff\0\xfe", b"y" * 300, b"z" * 70_000)
    headers = ((), (("a", b""), ("a", b"1"), ("ü" * 20, b"\0")), tuple((f"h{n}", b"v") for n in range(20)))
    entries = [
        OutboxEntry("change", key, some, value) for key in texts[:5] for value in texts for some in headers
    ]
    long = OutboxEntry("change", b"long", (("n" * 70_000, b"v" * 70_000),), b"")
    relay.publish(0, [pack([*entries, long], "1-0")])
    assert relay.flush(20)
    read = outcome.read_all(kafka, topics.changes)
    found = [(one.key(), tuple(one.headers() or ()), one.value()) for one in read]
    assert sorted(found, key=repr) == sorted(
        ((one.key, one.headers, one.value) for one in (*entries, long)), key=repr
    )


def take_back(relay: Relay) -> None:
    """Have everything that is on its way reported as failed."""
    relay._publisher.purge(in_flight=True)


@pytest.mark.parametrize("fail", [break_for_good, take_back])
def test_relay__begins_again_with_a_new_producer(
    prefix: str, open_relay: OpenRelay, fail: Callable[[Relay], None]
) -> None:
    """When a producer or its messages fail the next one sends what is not confirmed, each user's in order."""
    with start_kafka() as kafka:
        topics = make_topics(kafka, prefix, PARTITIONS)
        relay = open_relay(kafka.client_settings, topics)
        relay.publish(0, [batch(0, 50), batch(50, 50)])
        assert relay.flush(60)
        kafka.pause()
        relay.publish(0, [batch(100, 50), batch(150, 50)])
        assert not relay.flush(0.5)
        fail(relay)
        relay.publish(0, [batch(200, 50)])
        assert not relay.flush(0.5)
        assert (relay.delivered_to(0), relay.pending(0), relay.failures) == ("1-99", 150, 1)
        kafka.resume()
        assert relay.flush(60)
        assert relay.delivered_to(0) == "1-249"
        found = read_all(kafka, topics.changes, 250)
        assert {int(value) for _, value in found} == set(range(250))
        assert first_seen_in_order(found)


def test_relay__replaces_a_producer_that_failed_while_idle(
    kafka: KafkaServer, topics: Topics, relay: Relay
) -> None:
    """A producer that is of no use any more, with nothing on its way, is found out by the next message."""
    break_for_good(relay)
    relay.publish(0, [batch(0, 10)])
    assert relay.flush(20)
    assert relay.failures == 1
    assert len(read_all(kafka, topics.changes, 10)) == 10


def test_relay__knows_what_was_published_before(kafka: KafkaServer, topics: Topics, relay: Relay) -> None:
    """What the broker is known to hold is not sent; a batch of such alone moves the mark at once."""
    relay.publish(0, [batch(0, 3), batch(3, 4)], {"1-0", "1-1", "1-2", "1-4"})
    assert relay.delivered_to(0) == "1-2"
    assert relay.flush(20)
    assert (relay.delivered_to(0), relay.published) == ("1-6", 3)
    assert sorted(int(value) for _, value in read_all(kafka, topics.changes, 3)) == [3, 5, 6]


def test_relay__passes_on_what_librdkafka_logs(
    open_relay: OpenRelay, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that cannot be reached is heard of in the log, with its place."""
    caplog.set_level(logging.DEBUG, "tierwise.relay")
    relay = open_relay({"bootstrap.servers": "127.0.0.1:1"})
    give_up_s = time.monotonic() + 10
    while time.monotonic() < give_up_s and "Connect to" not in caplog.text:
        assert not relay._publisher.reports(0.1).error.size
    (line,) = {one.getMessage() for one in caplog.records if one.levelno == logging.ERROR}
    assert line.startswith("FAIL [rdkafka#producer-")
    assert "127.0.0.1:1/bootstrap: Connect to" in line


@pytest.mark.parametrize(
    ("setting", "value"),
    [("sasl.mechanism", "OAUTHBEARER"), ("plugin.library.paths", "x"), ("stats_cb", print)],
)
def test_relay__leaves_some_settings_to_confluent_kafka(
    kafka: KafkaServer, topics: Topics, setting: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Where confluent-kafka has a part in a setting, messages go through its objects, and the log says why."""
    with contextlib.suppress(KafkaException):  # Some of them need what is not there.
        relay = Relay({**kafka.client_settings, setting: value}, topics.outputs)
        assert isinstance(relay._publisher, ProducerPublisher)
        relay.close()
    assert f'event=direct_publishing.refused action="make message objects" error="{setting}' in caplog.text


def test_relay__falls_back_with_another_library(
    kafka: KafkaServer, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a confluent-kafka that was not tested all is published through its objects."""
    monkeypatch.setattr(librdkafka, "TESTED", "0.1.")
    librdkafka.open_library.cache_clear()
    relay = Relay(kafka.client_settings, topics.outputs)
    relay.publish(0, [batch(0, 10)])
    assert relay.flush(20)
    assert isinstance(relay._publisher, ProducerPublisher)
    relay.close()
    monkeypatch.undo()
    librdkafka.open_library.cache_clear()


def test_direct_publisher__hands_over_no_part_of_a_message(kafka: KafkaServer, topics: Topics) -> None:
    """A message that ends too early, wherever that is, is refused, and those before it are sent."""
    publisher = DirectPublisher(kafka.client_settings, topics.outputs)
    odd = OutboxEntry("change", b"k" * 40, (("name", b"v" * 300), ("n", b"")), b"x" * 40)
    whole = pack([change(1), odd])
    first = len(pack([change(1)]).packed)
    for size in range(first, len(whole.packed)):
        parcel = Parcel(1, OutboxBatch("1-0", 2, whole.packed[:size]))
        assert publisher.send(parcel, 9) == (1, KafkaError._BAD_MSG)
        assert (parcel.next_index, parcel.next_byte) == (1, first)
    for good, bad in (
        (b"\xa1n", b"\xc0n"),
        (b"\xc4(k", b"\x2a(k"),
        (b"\xa6change", b"\xc0change"),
        (b"\x92\xa1", b"\x93\xa1"),
    ):
        assert whole.packed.count(good, first) == 1, good
        text = whole.packed[:first] + whole.packed[first:].replace(good, bad)
        assert publisher.send(Parcel(1, OutboxBatch("1-0", 2, text)), 9) == (1, KafkaError._BAD_MSG)
    assert publisher.send(Parcel(1, whole), 9) == (2, 0)
    publisher.purge(in_flight=True)
    publisher.close()


def test_relay__a_bound_on_what_is_on_the_way_holds_back_the_rest(
    kafka: KafkaServer, topics: Topics, open_relay: OpenRelay
) -> None:
    """With room for three messages on the way all of five hundred arrive in order."""
    relay = open_relay({**kafka.client_settings, "queue.buffering.max.messages": 3}, in_flight_max=50)
    relay.publish(0, [batch(0, 500, users=100)])
    assert relay.flush(30)
    assert first_seen_in_order(read_all(kafka, topics.changes, 500))


def test_relay__a_broker_that_stops_answering_loses_nothing(prefix: str, open_relay: OpenRelay) -> None:
    """Entries published while the broker is frozen arrive when it goes on, each user's in order."""
    with start_kafka() as kafka:
        topics = make_topics(kafka, prefix, PARTITIONS)
        relay = open_relay(kafka.client_settings, topics)
        relay.publish(0, [batch(0, 50)])
        assert relay.flush(20)
        kafka.pause()
        relay.publish(0, [batch(50, 50)])
        assert not relay.flush(1.0)
        assert relay.delivered_to(0) == "1-49"
        kafka.resume()
        assert relay.flush(30)
        assert first_seen_in_order(read_all(kafka, topics.changes, 100))
