"""Tests of whole workers that read topics in other formats: exact like native ones, and set aside whole."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from confluent_kafka import Producer

from flows.dev.embedded import KafkaServer, create_topics
from flows.dev.generator import Message
from scoring.policy import Policy
from scoring.wire import parse
from tests.conftest import REPOSITORY
from tests.integration.bench import Bench
from tests.integration.outcome import DAY_MS, START_MS, assert_same, expected, read_all, story
from tests.integration.rekey_process import Hop
from tests.integration.worker_process import WorkerProcess

NAMES = {
    "page_view": "Product Viewed",
    "search": "Products Searched",
    "favorite": "Product Added to Wishlist",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "coupon_claimed": "Coupon Applied",
    "share": "Product Shared",
    "review": "Product Reviewed",
    "order_paid": "Order Completed",
    "order_refunded": "Order Refunded",
}
RATINGS = {"positive": "5", "neutral": 3, "negative": "1"}
ENCODER = msgspec.json.Encoder(decimal_format="number")
NEEDED = ("event_id", "user_id", "type", "event_time")

Pair = tuple[Message, bytes | None]
"""A message in another format, and the native value it must count as."""


def track(event: dict[str, Any]) -> bytes:
    """Write a native event as Segment would; money is a JSON number with a fraction."""
    amount = {
        "order_paid": {"total": event.get("amount"), "shipping": 0, "tax": None, "revenue": 999_999},
        "order_refunded": {"total": event.get("amount")},
    }.get(event["type"], {})
    properties = {
        "order_id": event.get("order_id"),
        "product_id": event.get("item_id"),
        "category": event.get("category"),
        "coupon": event.get("coupon_id", ""),
        "discount": event.get("discount_amount"),
        "rating": RATINGS.get(event.get("scene", "")),
        "currency": "CNY",
        **amount,
    }
    call = {
        "type": "track",
        "messageId": event["event_id"],
        "userId": event["user_id"],
        "anonymousId": "b-1",
        "event": NAMES[event["type"]],
        "timestamp": event["event_time"],
        "channel": event.get("channel"),
        "properties": properties,
    }
    return ENCODER.encode(call)


def pairs(events: int, users: int, seed: int) -> Iterator[Pair]:
    """Write a shop's month as Segment calls, beside what they are."""
    for message in story(events, users, seed):
        try:
            event = parse(message.value)
        except ValueError:
            continue
        if not isinstance(event, dict) or not all(isinstance(event.get(name), str | int) for name in NEEDED):
            continue
        event.pop("item_launch_at", None)
        if event["type"] not in NAMES:
            continue
        if event["type"] != "review":
            event.pop("scene", None)
        yield message._replace(value=track(event)), ENCODER.encode(event)


def broken(at_ms: int) -> Iterator[Pair]:
    """Write Segment calls that are set aside, each for another reason, beside native events that are, too."""
    event = {"event_id": "x1", "user_id": "u1", "type": "order_paid", "event_time": at_ms, "order_id": "x"}
    good = json.loads(track({**event, "amount": 5}))
    for name, call, native in (
        ("not json", None, b"no json"),
        ("anonymous", {**good, "userId": None}, json.dumps({"event_id": "x1"}).encode()),
        ("wrong type", {**good, "properties": "x"}, json.dumps({**event, "amount": []}).encode()),
        ("currency", {**good, "properties": {**good["properties"], "currency": "USD"}},
         json.dumps({**event, "amount": -1}).encode()),
        ("too late", {**good, "messageId": "x2", "timestamp": at_ms - 4 * DAY_MS},
         json.dumps({**event, "event_id": "x2", "amount": 5, "event_time": at_ms - 4 * DAY_MS}).encode()),
        ("unknown order", {**good, "messageId": "x3", "event": "Order Refunded"},
         json.dumps({**event, "event_id": "x3", "amount": 5, "type": "order_refunded"}).encode()),
    ):  # fmt: skip
        value = b"no json" if call is None else json.dumps({**call, "context": {"case": name}}).encode()
        yield Message("clickstream", b"u1", value, at_ms), native


def send_pairs(bench: Bench, sent: Iterable[Pair]) -> list[bytes]:
    """Send messages, and have the sender remember what they must count as; answer what was sent."""
    given = list(sent)
    bench.sender.send(message for message, _ in given)
    originals = []
    for message, native in given:
        originals.append(message.value)
        held = bench.sender.sent[bench.sender.partition_of(message.key)][0]
        for place, (offset, value, time_ms) in enumerate(held):
            if value == message.value:
                held[place] = offset, native, time_ms
    return originals


def write(bench: Bench, **formats: str) -> Path:
    """Write settings that name a format for some of the input topics."""
    topics = {
        "input": list(bench.inputs),
        "changes": bench.topics.changes,
        "dead_letters": bench.topics.dead_letters,
        "formats": {getattr(bench.topics, name): found for name, found in formats.items()},
    }
    return bench.write(topics=topics)


def test_segment__scores_like_the_same_events_in_native_form(one_topic: Bench, policy: Policy) -> None:
    """Profiles, changes and reasons are the reference's for the native events; dead letters are what was sent."""
    end_ms = START_MS + 30 * DAY_MS
    known = {"event_id": "x0", "user_id": "u1", "type": "search", "event_time": end_ms}
    first = Message("clickstream", b"u1", track(known), end_ms), json.dumps(known).encode()
    sent = [*pairs(events=2_000, users=150, seed=31), first, *broken(end_ms)]
    originals = send_pairs(one_topic, sent)
    with WorkerProcess(write(one_topic, clickstream="segment")) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, len(sent))
        assert "direct_reading.left" not in worker.log
        assert worker.stop() == 0
    found = one_topic.observed()
    assert_same(found, expected(policy, one_topic.sender))
    assert len(found.dead_letters) >= 6
    letters = read_all(one_topic.kafka, one_topic.topics.dead_letters)
    values = [letter.value() for letter in letters]
    assert set(values) <= set(originals)
    assert set(originals[-6:]) <= set(values)
    details = {dict(letter.headers())["detail"] for letter in letters}
    assert b"currency: must be CNY, as the policy says, got 'USD'" in details
    assert b"user_id: must be there; read from userId" in details


def binary(event: dict[str, Any], subject: str = "") -> tuple[Message, list[tuple[str, bytes]]]:
    """Write a native event as a CloudEvent in binary mode."""
    attributes = {"specversion": "1.0", "source": "/shop", "id": event["event_id"], "type": event["type"]}
    attributes |= {"time": "2026-09-01T00:00:00Z"} | ({"subject": subject} if subject else {})
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    data = {name: value for name, value in event.items() if name not in NEEDED[:1] + NEEDED[2:]}
    if subject:
        del data["user_id"]
    message = Message("orders", event["user_id"].encode(), json.dumps(data).encode(), START_MS)
    return message, [*headers, ("content-type", b"application/json")]


def test_cloudevents__carry_their_headers_through(bench: Bench) -> None:
    """Binary events are scored beside a native topic; one that is set aside comes back with its headers."""
    order = {"event_id": "a1", "user_id": "u1", "type": "order_paid", "order_id": "o1", "amount": 200.5}
    refund = {"event_id": "a2", "user_id": "u1", "type": "order_refunded", "order_id": "o1", "amount": "0.5"}
    view = {"event_id": "v1", "user_id": "u1", "type": "page_view", "event_time": START_MS}
    message, headers = binary(refund, subject="u1")
    settings = write(bench, orders="cloudevents")
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.send(view)
        bench.sender.send([message], headers)
        bench.wait_done(worker, 2)
        (letter,) = read_all(bench.kafka, bench.topics.dead_letters)
        assert (letter.key(), letter.value()) == (b"u1", message.value)
        assert dict(letter.headers())["reason"] == b"unknown_order"
        assert letter.headers()[-len(headers) :] == headers
        bench.sender.send([binary(order)[0]], binary(order)[1])
        bench.wait_done(worker, 3)
        assert bench.profile("u1")["spend"] == "200.50"
        replay(settings)
        bench.wait_done(worker, 4)
        assert bench.profile("u1")["spend"] == "200.00"
        assert worker.stop() == 0
        assert "event=direct_reading.left" in worker.log
    changes = [json.loads(change.value()) for change in read_all(bench.kafka, bench.topics.changes)]
    assert {change.get("cause_event_id") for change in changes} == {"v1", "a1"}


def replay(settings: Path) -> None:
    """Send every dead letter again, as an operator does."""
    command = [
        sys.executable, "-m", "flows.cli", "dead-letters", "replay", "--all", "--settings", str(settings),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_rekey__keys_segment_calls_by_their_user(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """A copy that settings call a Segment topic is keyed by `userId`; anonymous calls keep their key."""
    hop = Hop(kafka, prefix, tmp_path)
    settings = yaml.safe_load(hop.settings.read_text(encoding="utf-8"))
    settings["topics"]["formats"] = {hop.target: "segment"}
    hop.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    create_topics(kafka.bootstrap, [hop.source], 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(20):
        event = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 3}",
            "type": "search",
            "event_time": START_MS,
        }
        value = track({**event, "user_id": None} if number % 5 == 0 else event)
        producer.produce(hop.source, key=b"call-%d" % number, value=value)
    assert producer.flush(10) == 0
    counts = hop.run_to_end()
    assert (counts["read"], counts["keyed_by_user"], counts["kept_their_key"]) == (20, 16, 4)
    for copy in read_all(kafka, hop.target):
        call = json.loads(copy.value())
        number = int(call["messageId"].removeprefix("e"))
        assert copy.key().decode() == (call["userId"] or f"call-{number}")
