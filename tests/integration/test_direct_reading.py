"""Reading past confluent-kafka's message objects gives what the objects give, also after a new assignment."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.dev.embedded import KafkaServer
from flows.direct.handle import handle_of
from flows.intake import DirectIntake, Intake, MessageIntake, open_intake
from flows.items import AtEnd
from flows.membership import open_consumer
from scoring.events import Envelope
from scoring.policy import Policy
from sinks import librdkafka
from sinks.librdkafka import DirectAccessRefused
from tests.conftest import Topics
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess

VALUE_BYTES_MAX = 1_000
DEADLINE_S = 30.0
Found = dict[tuple[int, int, int], tuple[bytes | None, int, Envelope]]


def odd_messages() -> Iterator[dict[str, Any]]:
    """Write messages with everything that can be absent, empty, too long or no text."""
    for value in (
        None,
        b"",
        b"{}",
        b"\0",
        b"x" * VALUE_BYTES_MAX,
        b"y" * (VALUE_BYTES_MAX + 1),
        b"z" * 100_000,
    ):
        for key in (None, b"", b"user", b"\xff\0\xfe"):
            yield {"value": value, "key": key}
    attempts = (b"0", b"2", b"12", b"", None, b"-1", b" 1", b"999999999", b"1234567890", "٣".encode())
    for attempt in attempts:
        yield {"value": b"replayed", "key": b"k", "headers": [("other", b"7"), ("attempt", attempt)]}
    yield {"value": b"twice", "headers": [("attempt", b"1"), ("attempt", b"2")]}
    yield {"value": b"stamped", "timestamp": 1_700_000_000_123}


@pytest.fixture
def places(kafka: KafkaServer, topics: Topics) -> list[TopicPartition]:
    """Fill both topics, and answer all of their partitions."""
    producer = Producer(kafka.client_settings)
    for partition in range(topics.partitions):
        for topic in topics.input:
            for number, message in enumerate(odd_messages()):
                producer.produce(topic, partition=partition, **message)
                producer.produce(topic, value=b"%d" % number, partition=partition)
    assert producer.flush(DEADLINE_S) == 0
    return [TopicPartition(topic, one, 0) for topic in topics.input for one in range(topics.partitions)]


@pytest.fixture
def consumer(kafka: KafkaServer, topics: Topics) -> Iterator[Consumer]:
    """Open a consumer as the worker does."""
    opened = open_consumer(kafka.client_settings, topics.group)
    yield opened
    opened.close()


def read_all(intake: Intake, ends: int) -> tuple[Found, dict[tuple[int, int], int]]:
    """Read until so many partitions have ended; answer messages and ends by their places."""
    found: Found = {}
    ended: dict[tuple[int, int], int] = {}
    give_up_s = time.monotonic() + DEADLINE_S
    while len(ended) < ends:
        assert time.monotonic() < give_up_s, (len(found), ended)
        for item in intake.read(0.1, is_assigned=True):
            place = item.partition, item.topic
            if isinstance(item, AtEnd):
                ended[place] = item.offset
                continue
            ended.pop(place, None)
            columns = zip(item.offsets.tolist(), item.values, item.ingest_time_ms.tolist(), strict=True)
            for row, (offset, value, time_ms) in enumerate(columns):
                found[*place, offset] = value, time_ms, item.envelope_of(row)
    return found, ended


def test_direct_intake__reads_what_message_objects_hold(
    consumer: Consumer, kafka: KafkaServer, topics: Topics, places: list[TopicPartition]
) -> None:
    """Values, times, keys, numbers of replays and ends are the same, whatever a sender leaves out or makes up."""
    other = open_consumer(kafka.client_settings, f"{topics.group}-2")
    other.assign(places)
    wanted = read_all(MessageIntake(other, topics.input), len(places))
    other.close()
    assert len(wanted[0]) == len(places) * 2 * len(list(odd_messages()))
    with closing(DirectIntake(consumer, topics.input, VALUE_BYTES_MAX)) as intake:
        intake.forward(places)
        consumer.assign(places)
        assert read_all(intake, len(places)) == wanted


def test_direct_intake__reads_on_after_each_assignment(
    consumer: Consumer, topics: Topics, places: list[TopicPartition]
) -> None:
    """A partition that is taken away and given again, paused or sought is read again, and nothing else is."""
    with closing(DirectIntake(consumer, topics.input, VALUE_BYTES_MAX)) as intake:
        intake.forward(places)
        consumer.assign(places)
        everything, ends = read_all(intake, len(places))
        for _ in range(3):
            consumer.unassign()
            intake.forward(places[:2])
            consumer.assign(places[:2])
            found, _ = read_all(intake, 2)
            own = {(one.partition, topics.input.index(one.topic)) for one in places[:2]}
            assert found == {place: message for place, message in everything.items() if place[:2] in own}
        consumer.pause(places[:2])
        consumer.resume(places[:2])
        first = places[0]
        consumer.seek(TopicPartition(first.topic, first.partition, 5))
        found, _ = read_all(intake, 1)
        place = first.partition, topics.input.index(first.topic)
        assert min(found) == (*place, 5)
        assert len(found) == ends[place] - 5


def test_worker__uses_message_objects_when_told_to(one_topic: Bench, policy: Policy) -> None:
    """With `direct_reading` and `direct_publishing` off the same comes out."""
    settings = one_topic.write(direct_reading="off", direct_publishing="off")
    sent = one_topic.sender.send(story(events=2_000, users=200, seed=5))
    with WorkerProcess(settings) as worker:
        one_topic.wait_done(worker.wait_ready(), sent)
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_open_intake__falls_back_and_says_why(
    consumer: Consumer, topics: Topics, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A confluent-kafka that was not tested is read through its objects."""
    monkeypatch.setattr(librdkafka, "TESTED", "0.1.")
    librdkafka.open_library.cache_clear()
    assert isinstance(open_intake(consumer, topics.input, VALUE_BYTES_MAX, direct=True), MessageIntake)
    told = capfd.readouterr()
    assert "event=direct_reading.refused" in told.out + told.err
    monkeypatch.undo()
    librdkafka.open_library.cache_clear()
    assert isinstance(open_intake(consumer, topics.input, VALUE_BYTES_MAX, direct=False), MessageIntake)


def test_handle_of__refuses_what_is_no_consumer(kafka: KafkaServer) -> None:
    """A producer knows itself as one, so its handle is not taken for a consumer's."""
    with pytest.raises(DirectAccessRefused, match="not where it was expected"):
        handle_of(Producer(kafka.client_settings))  # type: ignore[arg-type]
