"""What must come out for what went in. This file runs the reference, reads store and topics, and compares."""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.dev.embedded import KafkaServer
from flows.dev.generator import Message, generate
from scoring.policy import Policy
from tests.reference import Reference

START_MS = 1_788_220_800_000
DAY_MS = 86_400_000
FUTURE_TOLERANCE_MS = 300_000
MESSAGE_SIZE_MAX = 20_000_000

TOLERANCE = {"rel": 1e-9, "abs": 1.5e-6}
"""Values are written with six decimals, so the last one may be rounded either way."""


def story(
    events: int, users: int, seed: int, start_ms: int = START_MS, span_ms: int = 30 * DAY_MS
) -> list[Message]:
    """Generate what happens in a small shop, a month long."""
    return list(generate(events, users, seed, start_ms, start_ms + span_ms))


class Broker(Protocol):
    """What of a broker is asked for here, whichever one it is."""

    @property
    def bootstrap(self) -> str:
        """Give its address."""

    @property
    def client_settings(self) -> dict[str, str]:
        """Give the settings of a consumer."""


class Sender:
    """Send messages keyed into partitions, and remember what each topic partition then holds."""

    def __init__(
        self, kafka: KafkaServer, partitions: int, topics: Sequence[str], names: dict[str, str]
    ) -> None:
        settings = {"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "log_level": 0}
        # Idempotent: when a broker ends meanwhile, what is tried again must not stand there twice.
        settings |= {"message.max.bytes": MESSAGE_SIZE_MAX, "enable.idempotence": True}
        self._producer = Producer(settings)
        self._partitions = partitions
        self._names = names
        self._topics = list(topics)
        self.sent: dict[int, list[list[tuple[int, bytes | None, int]]]] = {
            partition: [[] for _ in topics] for partition in range(partitions)
        }

    def partition_of(self, key: bytes) -> int:
        """Choose the partition of a key."""
        return zlib.crc32(key) % self._partitions

    def send(self, messages: Iterable[Message], headers: Sequence[tuple[str, bytes]] = ()) -> int:
        """Send and wait for the broker; answer how many. All get the same headers."""
        count = 0
        for message in messages:
            topic = self._names.get(message.topic, message.topic)
            partition = self.partition_of(message.key)
            held = self.sent[partition][self._topics.index(topic)]
            held.append((len(held), message.value, message.ingest_time_ms))
            self._producer.produce(
                topic,
                key=message.key,
                value=message.value,
                partition=partition,
                timestamp=message.ingest_time_ms,
                headers=list(headers),
            )
            count += 1
            if count % 1_000 == 0:
                self._producer.poll(0)
        assert self._producer.flush(60) == 0
        return count


@dataclass
class Outcome:
    """Profiles by user, members by audience, changes by user in `seq` order, dead letters by place."""

    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    audiences: dict[str, set[str]] = field(default_factory=dict)
    changes: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def add(self, reference: Reference) -> None:
        """Take in what the reference says of one shard."""
        for user_id in reference.users:
            self.profiles[user_id] = _typed(reference.profile(user_id) or {})
        for audience, members in reference.audiences().items():
            self.audiences.setdefault(audience, set()).update(members)
        for change in reference.changes:
            self.changes[change["user_id"]].append(change)
        for reason, topic, offset in reference.dead_letters:
            self.dead_letters[topic, reference.partition, offset] = reason


def expected(policy: Policy, sender: Sender, fire_up_to_ms: int | None = None, **limits: int) -> Outcome:
    """
    Run the reference over all that was sent, each shard by itself, and sweep to the watermark.

    Args:
        fire_up_to_ms: how far time went on in the silence of the whole stream; None when it kept to the data.
    """
    outcome = Outcome()
    for partition, by_topic in sender.sent.items():
        reference = Reference(policy, len(by_topic), partition, **limits)
        for topic, offset, value, ingest_time_ms in reference.order(by_topic):
            reference.message(topic, offset, value, ingest_time_ms)
        if (up_to_ms := fire_up_to_ms or reference.watermark_ms) is not None:
            reference.fire(up_to_ms)
        outcome.add(reference)
    return outcome


def observed(
    store: redis.Redis,
    kafka: KafkaServer,
    prefix: str,
    inputs: Sequence[str],
    changes: str,
    dead_letters: str,
) -> Outcome:
    """Read what a worker has written, the way apps read it."""
    outcome = stored(store, prefix)
    for message in read_all(kafka, changes):
        if message.value() is None:  # Behind the last changes of an erased user.
            continue
        change = json.loads(message.value())
        assert dict(message.headers())["ce_id"] == f"{change['user_id']}:{change['seq']}".encode()
        known = outcome.changes[change["user_id"]]
        if change["seq"] <= len(known):
            assert known[change["seq"] - 1] == change, "a change that is sent again must be the same"
        else:
            assert change["seq"] == len(known) + 1, f"gap or disorder at {change['user_id']}:{change['seq']}"
            known.append(change)
    for message in read_all(kafka, dead_letters):
        headers = {name: value.decode() for name, value in message.headers()}
        place = inputs.index(headers["topic"]), int(headers["partition"]), int(headers["offset"])
        outcome.dead_letters[place] = headers["reason"]
    return outcome


def stored(store: redis.Redis, prefix: str) -> Outcome:
    """Read profiles and audiences."""
    outcome = Outcome()
    for key in store.scan_iter(f"{prefix}:user:*", count=1_000):
        fields = {name.decode(): value.decode() for name, value in store.hgetall(key).items()}
        outcome.profiles[key.decode().removeprefix(f"{prefix}:user:")] = _typed(fields)
    for key in store.scan_iter(f"{prefix}:audience:*"):
        members = {member.decode() for member in store.smembers(key)}
        outcome.audiences[key.decode().removeprefix(f"{prefix}:audience:")] = members
    return outcome


def is_same(found: Any, wanted: Any) -> bool:
    """Compare a profile or a change: exactly, but for the last decimal of scores and values."""
    return found == wanted or found == _near(wanted)


def assert_same(found: Outcome, wanted: Outcome) -> None:
    """Compare everything: exactly, but for the last decimal of scores and values."""
    assert found.profiles.keys() == wanted.profiles.keys()
    for user_id, profile in wanted.profiles.items():
        assert is_same(found.profiles[user_id], profile), user_id
    assert found.audiences == wanted.audiences
    assert found.dead_letters == wanted.dead_letters
    assert found.changes.keys() == wanted.changes.keys()
    for user_id, changes in wanted.changes.items():
        assert len(found.changes[user_id]) == len(changes), user_id
        for one, other in zip(found.changes[user_id], changes, strict=True):
            assert is_same(one, other), f"{user_id}:{other['seq']}"


def read_all(kafka: Broker, topic: str, settings: Mapping[str, str] | None = None) -> list[Any]:
    """Read a topic from its beginning to where it ends now; `settings` go over those of the consumer."""
    consumer = Consumer(
        {
            **kafka.client_settings,
            "group.id": f"{topic}.look",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            **(settings or {}),
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        messages, ended = [], set()
        while len(ended) < len(partitions):
            for message in consumer.consume(10_000, 0.2):
                if message.error():
                    ended.add(message.partition())
                else:
                    messages.append(message)
        return messages
    finally:
        consumer.close()


def _typed(fields: dict[str, str]) -> dict[str, Any]:
    return {
        name: float(value) if name.endswith((".score", ".to_next")) else value
        for name, value in fields.items()
    }


def _near(value: Any) -> Any:
    """Let floats, at any depth, differ in the last place."""
    if isinstance(value, float):
        return pytest.approx(value, **TOLERANCE)
    if isinstance(value, dict):
        return {name: _near(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_near(one) for one in value]
    return value
