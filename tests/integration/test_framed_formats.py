"""Tests of whole workers whose topics a Schema Registry's serializers wrote: exact like native ones, nothing lost."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer

from flows.dev.embedded import KafkaServer, create_topics
from flows.dev.generator import Message
from flows.formats.framed.reading import schema_id_of
from scoring.policy import Policy
from scoring.wire import parse
from scoring.wire_values import number_of, read_number, time_ms
from tests.integration.bench import Bench
from tests.integration.outcome import DAY_MS, START_MS, assert_same, expected, read_all, story
from tests.integration.rekey_process import Hop
from tests.integration.test_formats import ENCODER, NEEDED, Pair, send_pairs
from tests.integration.worker_process import WorkerProcess
from tests.schema_registry import Asked, SchemaRegistry, avro_writer, json_writer, running
from tests.unit.framed_events import EVENT, EVENT_JSON

FIELDS = {field["name"] for field in EVENT["fields"]}
TIMES = {"event_time", "item_launch_at"}
MONEY = {"amount", "discount_amount"}
TEXTS = FIELDS - TIMES - MONEY
CENTS = Decimal("0.01")


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    """Run a registry."""
    with running() as found:
        yield found


def fits(event: dict[str, Any]) -> bool:
    """Tell whether the schema can say it; what is wrong in other ways is the story's trouble, and stays."""
    given = {name: value for name, value in event.items() if value is not None}
    return (
        all(isinstance(given[name], str) for name in TEXTS & given.keys())
        and all(isinstance(time_ms(given[name]), int) for name in TIMES & given.keys())
        and all(money(given[name]) is not None for name in MONEY & given.keys())
    )


def money(value: Any) -> Decimal | None:
    """Give an amount with two digits; None where it has others."""
    amount = read_number(value) if isinstance(value, str) else number_of(value)
    return amount.quantize(CENTS) if amount is not None and abs(amount) < 10**9 else None


def in_avro(event: dict[str, Any]) -> dict[str, Any]:
    """Give an event's fields the types of the schema."""
    found = {name: value for name, value in event.items() if name in FIELDS}
    for name in MONEY & found.keys():
        found[name] = None if found[name] is None else money(found[name])
    for name in TIMES:
        if found.get(name) is not None:
            found[name] = time_ms(found[name]) * (1 if name == "event_time" else 1000)  # type: ignore[operator]
    return found


def in_json(event: dict[str, Any]) -> dict[str, Any]:
    """Leave an event as JSON has it; its library knows no exact numbers."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in event.items()}


def writer(registry: Asked, encoding: str, topic: str) -> Callable[[dict[str, Any]], bytes]:
    """Answer what a sender of this encoding writes into a topic for a native event."""
    if encoding == "avro":
        write = avro_writer(registry, EVENT, topic)
        return lambda event: write(in_avro(event))
    write = json_writer(registry, EVENT_JSON, topic)
    return lambda event: write(in_json(event))


def pairs(write: Callable[[dict[str, Any]], bytes], events: int, seed: int) -> Iterator[Pair]:
    """Write a shop's month by a schema, beside what the messages are."""
    for message in story(events, users=100, seed=seed):
        try:
            event = parse(message.value)
        except ValueError:
            continue
        if not isinstance(event, dict) or not all(isinstance(event.get(name), str | int) for name in NEEDED):
            continue
        if fits(event):
            yield message._replace(value=write(event)), ENCODER.encode(event)


def broken(good: bytes, at_ms: int) -> Iterator[Pair]:
    """Give messages that are set aside: a schema that nobody knows, a value cut short, and plain JSON."""
    for value in (good[:1] + (9_999).to_bytes(4, "big") + good[5:], good[:-4], b'{"event_id": "plain"}'):
        yield Message("clickstream", b"u1", value, at_ms), b"no json"


def write_settings(bench: Bench, registry: Asked, encoding: str, **more: Any) -> Path:
    """Write settings that say how the clickstream is encoded."""
    topics = {
        "input": list(bench.inputs),
        "changes": bench.topics.changes,
        "dead_letters": bench.topics.dead_letters,
        "encodings": {bench.topics.clickstream: encoding},
    }
    return bench.write(topics=topics, registry={"url": registry.url, **more})


@pytest.mark.parametrize("encoding", ["avro", "json_schema"])
def test_framed__scores_like_the_same_events_in_native_form(
    one_topic: Bench, policy: Policy, registry: SchemaRegistry, encoding: str
) -> None:
    """
    Profiles, changes and reasons are the reference's for the native events, also when the registry was away.

    It is away when the worker starts: nothing is set aside for that, the process stays up, and reads when it is back.
    """
    write = writer(registry, encoding, one_topic.topics.clickstream)
    end_ms = START_MS + 30 * DAY_MS
    last = {"event_id": "x0", "user_id": "u1", "type": "search", "event_time": end_ms}
    good = write(last)
    sent = [*pairs(write, events=1_000, seed=37), *broken(good, end_ms)]
    originals = send_pairs(one_topic, sent)
    registry.stop()
    with WorkerProcess(write_settings(one_topic, registry, encoding)) as worker:
        worker.wait_until(lambda: worker.log.count("event=registry.awaited") >= 2, 150.0)
        assert worker.answers("/live") == 200
        assert one_topic.written() == 0
        registry.start()
        one_topic.wait_done(worker, len(sent))
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))
    letters = read_all(one_topic.kafka, one_topic.topics.dead_letters)
    found = {letter.value(): dict(letter.headers()) for letter in letters}
    assert set(found) <= set(originals)
    unknown, cut, plain = (found[value] for value in originals[-3:])
    assert {headers["reason"] for headers in (unknown, cut, plain)} == {b"not_json"}
    assert unknown["detail"] == b"value: schema 9999 is unknown to the Schema Registry"
    assert cut["detail"].startswith(b"value: must fit schema %d: " % schema_id_of(good))
    assert plain["detail"].startswith(b"value: must begin with a zero and four bytes that name a schema")


def test_worker__ends_where_the_registry_does_not_let_it_in(
    one_topic: Bench, registry: SchemaRegistry, tmp_path: Path
) -> None:
    """A wrong password ends it at once, with code 1 and nothing read; the right one goes on from there."""
    registry.login = "reader:s3cret"
    event = {"event_id": "e1", "user_id": "u1", "type": "page_view", "event_time": START_MS}
    value = avro_writer(registry, EVENT)(event)
    send_pairs(one_topic, [(Message("clickstream", b"u1", value, START_MS), json.dumps(event).encode())])
    path = write_settings(one_topic, registry, "avro")
    (tmp_path / "login").write_text("reader:hunter2", encoding="utf-8")
    login = {"TIERWISE_REGISTRY__BASIC_AUTH_USER_INFO_FILE": str(tmp_path / "login")}
    with WorkerProcess(path, environ=login) as worker:
        assert worker.wait_end() == 1
        assert f"RegistryRefused: registry: {registry.url} refuses our login: who are you?" in worker.log
        assert "hunter2" not in worker.log
        assert "registry.awaited" not in worker.log
    assert one_topic.written() == 0
    (tmp_path / "login").write_text(registry.login, encoding="utf-8")
    with WorkerProcess(path, environ=login) as worker:
        one_topic.wait_done(worker, 1)
        assert worker.stop() == 0
    assert one_topic.profile("u1")["seq"]


def test_worker__ends_before_it_begins_where_there_can_be_no_client(
    one_topic: Bench, registry: SchemaRegistry
) -> None:
    """What no waiting mends is one line and code 2."""
    path = write_settings(one_topic, registry, "avro", ssl_ca_location="/nowhere/ca.pem")
    with WorkerProcess(path) as worker:
        assert worker.wait_end() == 2
        (line,) = [line for line in worker.log.splitlines() if line.startswith("level=error")]
        assert "event=registry.refused" in line


def test_rekey__keys_avro_by_its_user(
    kafka: KafkaServer, prefix: str, tmp_path: Path, registry: SchemaRegistry
) -> None:
    """A copy that settings call Avro is keyed by `user_id` once the registry is there; broken ones keep their key."""
    hop = Hop(kafka, prefix, tmp_path)
    settings = yaml.safe_load(hop.settings.read_text(encoding="utf-8"))
    settings["topics"]["encodings"] = {hop.target: "avro"}
    settings["registry"] = {"url": registry.url}
    hop.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    create_topics(kafka.bootstrap, [hop.source], 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    write, users = avro_writer(registry, EVENT), {}
    for number in range(20):
        event = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 3}",
            "type": "search",
            "event_time": START_MS,
        }
        value = write(event)[: 9 if number % 5 == 0 else None]
        users[b"call-%d" % number] = value
        producer.produce(hop.source, key=b"call-%d" % number, value=value)
    assert producer.flush(10) == 0
    registry.stop()
    with hop.rekey("--until-end") as process:
        process.wait_until(lambda: "gave no schema" in process.log)
        registry.start()
        assert process.wait_end() == 0, process.log
        counts = process.counts()
    assert (counts["read"], counts["keyed_by_user"], counts["kept_their_key"]) == (20, 16, 4)
    copies = read_all(kafka, hop.target)
    assert sorted(copy.value() for copy in copies) == sorted(users.values())
    assert {copy.key() for copy in copies} == {
        b"u0",
        b"u1",
        b"u2",
        b"call-0",
        b"call-5",
        b"call-10",
        b"call-15",
    }
