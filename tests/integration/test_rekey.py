"""Tests of `tierwise rekey` on a real broker: what is copied, where to, in which order."""

import random
import re
from pathlib import Path

import pytest
from confluent_kafka import Producer

from config.settings import Topics as InputTopics
from flows.dev.embedded import KafkaServer, create_topics
from flows.rekey.topics import Route, prepare_target
from flows.topics import UnfitTopics
from tests.integration.outcome import read_all
from tests.integration.rekey_process import Hop
from tests.raw_headers import produce_with_raw_header

NOON_MS = 1_767_268_800_000
ODD = [
    (b"k", b'{"event_id": "e1", "user_id": "u1"}', [("trace", b"\xff"), ("none", None), ("trace", b"")], NOON_MS),
    (None, b'{"user_id": "\\u7528\\u6237", "x": [1.5]}', None, NOON_MS + 1),
    (b"u9", b'{"user_id": 7, "user_id": "u1"}', None, 1),
    (b"no time", b'{"user_id": "u1"}', None, -1),
    (b"kept", b"no JSON", None, NOON_MS + 2),
    (b"kept", b'{"user_id": ""}', None, NOON_MS + 3),
    (b"kept", b'{"user_id": "%b"}' % (b"x" * 257), None, NOON_MS + 4),
    (b"kept", b"", None, NOON_MS + 5),
    (b"kept", None, [("tomb", b"1")], NOON_MS + 6),
    (None, b"[]", None, NOON_MS + 7),
]  # fmt: skip
USERS = (b"u1", "用户".encode(), b"u1", b"u1")
"""Whose the first of them are; the others keep the key they have."""


def test_rekey__changes_the_key_and_nothing_else(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """Value, headers and timestamp of every message survive, also of those without a user, which keep their key."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number, (key, value, headers, time_ms) in enumerate(ODD):
        producer.produce(
            hop.source, key=key, value=value, headers=headers, timestamp=time_ms, partition=number % 3
        )
    assert producer.flush(10) == 0
    counts = hop.run_to_end()
    assert (counts["read"], counts["keyed_by_user"], counts["kept_their_key"]) == (10, 4, 6)
    keys = [*USERS, *(key for key, *_ in ODD[len(USERS) :])]
    sent = [(key, *rest) for key, (_, *rest) in zip(keys, ODD, strict=True)]
    found = [
        (one.key(), one.value(), one.headers(), one.timestamp()[1]) for one in read_all(kafka, hop.target)
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, sent))


def test_rekey__drops_headers_that_nobody_can_read_and_says_so(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    """A header whose name is not UTF-8 stops nothing: its message is copied without headers, in its place."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    events = [b'{"user_id": "u1", "n": %d}' % number for number in range(4)]
    for number, event in enumerate(events):
        if number in (1, 2):
            produce_with_raw_header(producer, hop.source, 0, event, b"caf\xe9")
        else:
            producer.produce(hop.source, event, headers=[("caf\u00e9", b"value")], partition=0)
    assert producer.flush(10) == 0
    with hop.rekey("--until-end") as process:
        assert process.wait_end() == 0, process.log
        assert process.counts() | {"transactions": 0} == {
            "read": 4,
            "keyed_by_user": 2,
            "without_headers": 2,
            "transactions": 0,
            "undone": 0,
        }
        (line,) = re.findall(r"event=headers.dropped .*", process.log)
        assert f"reads={hop.source} partition=0 offset=1 messages=2" in line
    copies = read_all(kafka, hop.target)
    assert [(one.key(), one.value()) for one in copies] == [(b"u1", event) for event in events]
    good = [("caf\u00e9", b"value")]
    assert [one.headers() or [] for one in copies] == [good, [], [], good]


def test_rekey__joins_users_with_topics_of_other_producers(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    """The target gets the number of the other input topics, and a user the partition that Java would choose."""
    other = f"{prefix}.orders"
    hop = Hop(kafka, prefix, tmp_path, [f"{prefix}.keyed", other])
    create_topics(kafka.bootstrap, [hop.source], 3)
    create_topics(kafka.bootstrap, [other], 5)
    hop.send(500, partitions=3)
    hop.run_to_end()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for number in range(60):
        producer.produce(other, key=f"u{number}", value=b"{}")
    assert producer.flush(10) == 0
    placed = {one.key().decode(): {one.partition()} for one in read_all(kafka, other)}
    partitions = hop.copies().partitions
    assert partitions == {user_id: placed[user_id] for user_id in partitions}
    assert len(set().union(*partitions.values())) == 5


def test_rekey__copies_a_backlog_by_time(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """However unevenly a topic was spread, one process copies its oldest message first."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    rng = random.Random(5)
    # Idempotent: a new partition that has no leader yet costs an attempt, and later batches would pass the first.
    settings = {"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer(settings)
    for number in range(40_000):
        partition = rng.choices((0, 1, 2), (90, 9, 1))[0]
        producer.produce(
            hop.source, value=b'{"user_id": "u"}', partition=partition, timestamp=NOON_MS + number
        )
    assert producer.flush(30) == 0
    hop.run_to_end("--partitions", "1")
    times = [one.timestamp()[1] for one in read_all(kafka, hop.target)]
    assert times == list(range(NOON_MS, NOON_MS + 40_000))


def test_rekey__refuses_a_target_of_another_shape(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """A target with another number of partitions is refused with the way out, exit code 2."""
    hop = Hop(kafka, prefix, tmp_path, [f"{prefix}.keyed", f"{prefix}.other"])
    create_topics(kafka.bootstrap, [hop.source, hop.target], 3)
    with hop.rekey("--partitions", "4") as process:
        assert process.wait_end() == 2
        assert f"{hop.target} exists with 3 partitions, but --partitions says 4" in process.log
    create_topics(kafka.bootstrap, [f"{prefix}.other"], 5)
    with hop.rekey() as process:
        assert process.wait_end() == 2
        assert "exists with 3 partitions, but the other input topics have 5" in process.log


def test_prepare_target__asks_when_the_others_differ(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """Without one number of partitions to follow it must be said; a missing source is named."""
    names = [f"{prefix}.{name}" for name in ("raw", "a", "b")]
    for partitions, name in enumerate(names, start=2):
        create_topics(kafka.bootstrap, [name], partitions)
    settings = {"bootstrap.servers": kafka.bootstrap}
    inputs = InputTopics(tuple(names[1:]), "changes", "dead")
    with pytest.raises(UnfitTopics, match=r"a has 3, .*b has 4; say --partitions N"):
        prepare_target(settings, Route(names[0], f"{prefix}.new"), inputs, "g")
    with pytest.raises(UnfitTopics, match="--from: nowhere not found"):
        prepare_target(settings, Route("nowhere", f"{prefix}.new"), inputs, "g")
    assert prepare_target(settings, Route(names[0], f"{prefix}.new", 6), inputs, "g").partitions == 6


def test_rekey__does_not_begin_in_the_middle(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """A target that does not exist is not filled from where the group stopped in another one."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 1)
    hop.send(10, partitions=1)
    hop.run_to_end("--group", f"{prefix}.once")
    hop.target = f"{prefix}.again"
    with hop.rekey("--group", f"{prefix}.once") as process:
        assert process.wait_end() == 2
        assert "--group NEW_GROUP" in process.log
    assert hop.run_to_end()["read"] == 10
