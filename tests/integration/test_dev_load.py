"""Tests of the load on servers that are already there: a shop as it happens, and a way to stop it."""

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, Message, TopicPartition

from flows.dev.embedded import KafkaServer
from flows.dev.live import STORY_MS, stories, topic_names
from tests.conftest import REPOSITORY, Topics

START_MS = 1_790_000_000_000
RATE = 100.0
ENDED_WITHIN_S = 60


@pytest.fixture
def settings(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> Path:
    """Write settings that read the topics of the test."""
    path = tmp_path / "tierwise.yaml"
    document = {"kafka": kafka.client_settings, "topics": {"input": list(topics.input)}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def start(settings: Path, *options: str) -> subprocess.Popen[str]:
    """Start the load and return once it says that it sends."""
    command = [sys.executable, "-m", "flows.cli", "dev", "load", "--settings", str(settings), *options]
    load = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert load.stdout is not None
    load.stdout.readline()
    return load


def read(kafka: KafkaServer, topics: Topics) -> list[Message]:
    """Read what the input topics hold, to their ends."""
    consumer = Consumer({**kafka.client_settings, "group.id": topics.group, "enable.partition.eof": True})
    places = [TopicPartition(topic, number, 0) for topic in topics.input for number in range(4)]
    consumer.assign(places)
    found, ends = [], 0
    while ends < len(places):
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ends += 1
        else:
            found.append(message)
    consumer.close()
    return found


def test_stories__go_on_and_repeat_no_id() -> None:
    """Arrivals are in order over the border of two stories, and an id is repeated within a story alone."""
    messages = list(stories(2.0, 50, START_MS, START_MS + 2 * STORY_MS))
    arrivals = [message.ingest_time_ms for message in messages]
    assert all(before <= after for before, after in pairwise(arrivals))
    assert START_MS <= arrivals[0] < START_MS + STORY_MS // 10
    assert START_MS + 2 * STORY_MS - STORY_MS // 10 < arrivals[-1] < START_MS + 2 * STORY_MS
    ids: list[set[str]] = [set(), set()]
    for message in messages:
        if b'"order_id"' in message.value and message.value.endswith(b"}"):
            event = json.loads(message.value)
            ids[message.ingest_time_ms >= START_MS + STORY_MS] |= {event["event_id"], event["order_id"]}
    assert all(ids)
    assert not ids[0] & ids[1]


@pytest.mark.parametrize(
    ("inputs", "clicks", "orders"),
    [
        (["clickstream", "orders"], "clickstream", "orders"),
        (["orders", "clickstream"], "clickstream", "orders"),
        (["shop.clicks", "shop.orders"], "shop.clicks", "shop.orders"),
        (["shop"], "shop", "shop"),
    ],
)
def test_topics__are_those_that_are_read(inputs: list[str], clicks: str, orders: str) -> None:
    """Names that fit are used wherever they stand; others are taken in their order."""
    assert topic_names(inputs) == {"clickstream": clicks, "orders": orders}


def test_load__sends_each_message_when_it_happens(kafka: KafkaServer, topics: Topics, settings: Path) -> None:
    """A load of three seconds ends by itself with exit code 0; what it sent is of these seconds."""
    began_ms = time.time() * 1000
    load = start(settings, "--rate", str(RATE), "--seconds", "3")
    shown, errors = load.communicate(timeout=ENDED_WITHIN_S)
    ended_ms = time.time() * 1000
    assert load.returncode == 0, errors
    sent = read(kafka, topics)
    assert f"sent {len(sent)} messages" in shown
    assert 0.8 * 3 * RATE < len(sent) <= 3 * RATE
    assert ended_ms - began_ms >= 2_500
    assert all(began_ms <= message.timestamp()[1] <= ended_ms for message in sent)


def test_load__ends_when_it_is_told_to(settings: Path) -> None:
    """SIGTERM ends it soon, with exit code 0 and the number of what was sent."""
    load = start(settings)
    load.send_signal(signal.SIGTERM)
    shown, errors = load.communicate(timeout=ENDED_WITHIN_S)
    assert (load.returncode, errors) == (0, "")
    assert shown.startswith("sent ")


def test_load__names_topics_that_are_missing(kafka: KafkaServer, tmp_path: Path) -> None:
    """Nothing is created in silence: a topic that is not there is named, with exit code 2."""
    path = tmp_path / "tierwise.yaml"
    document = {"kafka": kafka.client_settings, "topics": {"input": ["no-such-topic"]}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    load = start(path)
    _, errors = load.communicate(timeout=ENDED_WITHIN_S)
    assert load.returncode == 2
    assert "no-such-topic not found" in errors
