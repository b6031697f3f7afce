"""Tests of whole workers whose topics name schemas of a real Schema Registry."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema

from flows.dev.generator import Message
from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import START_MS, assert_same, expected
from tests.integration.test_formats import Pair, send_pairs
from tests.integration.test_framed_formats import (
    test_framed__scores_like_the_same_events_in_native_form,
    test_rekey__keys_avro_by_its_user,
    write_settings,
)
from tests.integration.worker_process import WorkerProcess
from tests.kafka.registry import ApicurioRegistry
from tests.schema_registry import avro_writer, client
from tests.unit.framed_events import FIXED_MONEY, MILLIS, record

__all__ = [
    "test_framed__scores_like_the_same_events_in_native_form",
    "test_rekey__keys_avro_by_its_user",
]

USERS = ("u1", "u2", "u3", "u4")
FIRST = (("event_id", "string"), ("user_id", "string"), ("type", "string"), ("event_time", MILLIS))
OLD = record(*FIRST)
NEW = record(*FIRST)
NEW["fields"].append({"name": "scene", "type": "string", "default": "positive"})
MONEY = {**FIXED_MONEY, "namespace": "shop"}
PAID = record(*FIRST, ("order_id", "string"), ("amount", "shop.Money"), name="Paid")


@pytest.fixture
def registry(apicurio: ApicurioRegistry) -> ApicurioRegistry:
    """Give the registry, up and open again if the test before left it otherwise."""
    apicurio.start()
    return apicurio


def reviews(write: Callable[[Any], bytes], number: int, **default: str) -> Iterable[Pair]:
    """Write one review of each user, beside what it is where the schema adds a default."""
    for user in USERS:
        at_ms = START_MS + number * 1_000
        event = {"event_id": f"e{number}", "user_id": user, "type": "review", "event_time": at_ms}
        native = json.dumps(event | default).encode()
        yield Message("clickstream", user.encode(), write(event), at_ms), native


def test_worker__reads_schemas_that_grow_and_refer_to_each_other(
    one_topic: Bench, policy: Policy, registry: ApicurioRegistry
) -> None:
    """
    The default of a second version counts, and so does money whose type is a schema of its own.

    While the registry is away the version that was read before is read on; the other one waits for the next start.
    """
    topic = one_topic.topics.clickstream
    asked, subject = client(registry), f"{topic}-value"
    old, new = avro_writer(registry, OLD, topic), avro_writer(registry, NEW, topic)
    path = write_settings(one_topic, registry, "avro")
    send_pairs(one_topic, reviews(old, 1))
    with WorkerProcess(path) as worker:
        one_topic.wait_done(worker, 4)
        asked.set_compatibility(subject, "BACKWARD")
        newer = [*reviews(new, 3, scene="positive"), *paid(registry, topic)]
        assert asked.get_latest_version(subject).version == 2
        registry.stop()
        send_pairs(one_topic, reviews(old, 2))
        one_topic.wait_done(worker, 8)
        send_pairs(one_topic, newer)
        worker.wait_until(lambda: "event=registry.awaited" in worker.log)
        assert worker.answers("/live") == 200
        assert worker.stop() == 1
        assert "RegistryUnavailable" in worker.log
        assert one_topic.written() == 8
    registry.start()
    with WorkerProcess(path) as worker:
        one_topic.wait_done(worker, 13)
        assert worker.stop() == 0
    found = one_topic.observed()
    assert not found.dead_letters
    assert_same(found, expected(policy, one_topic.sender))


def paid(registry: ApicurioRegistry, topic: str) -> Iterable[Pair]:
    """Write an order whose schema refers to another one."""
    money = f"{topic}.money"
    client(registry).register_schema(money, Schema(json.dumps(MONEY), "AVRO"))
    write = avro_writer(registry, PAID, f"{topic}.paid", [("shop.Money", money, 1)])
    event = {"event_id": "o1", "user_id": "u1", "type": "order_paid", "event_time": START_MS + 4_000}
    order = {**event, "order_id": "o1"}
    native = json.dumps({**order, "amount": "12.34"}).encode()
    yield Message("clickstream", b"u1", write({**order, "amount": Decimal("12.34")}), START_MS), native


def test_worker__ends_where_a_registry_lets_nobody_in(one_topic: Bench, registry: ApicurioRegistry) -> None:
    """An answer 401, here without a word, ends it at once with code 1 and nothing read."""
    send_pairs(one_topic, reviews(avro_writer(registry, OLD, one_topic.topics.clickstream), 1))
    registry.start(is_closed=True)
    with WorkerProcess(write_settings(one_topic, registry, "avro")) as worker:
        assert worker.wait_end() == 1
        assert f"RegistryRefused: registry: {registry.url} refuses our login" in worker.log
        assert "registry.awaited" not in worker.log
    assert one_topic.written() == 0
