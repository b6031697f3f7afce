"""Tests of how often a worker commits that has much to read, on real servers."""

import json
import time

import pytest
from confluent_kafka import Producer

from tests.integration.bench import Bench, now_ms
from tests.integration.worker_process import WorkerProcess

MESSAGES = 400_000
USERS = 500


@pytest.fixture
def behind(one_topic: Bench) -> Bench:
    """Let one partition have many messages, and the others none."""
    producer = Producer(
        {"bootstrap.servers": one_topic.kafka.bootstrap, "queue.buffering.max.messages": MESSAGES}
    )
    at_ms = now_ms() - 60_000
    for number in range(MESSAGES):
        user = f"u{number % USERS}"
        event = {"event_id": f"e{number}", "user_id": user, "type": "page_view", "event_time": at_ms}
        value = json.dumps(event).encode()
        producer.produce(one_topic.topics.clickstream, value, user, partition=0, timestamp=at_ms)
    assert producer.flush(60) == 0
    return one_topic


def test_catch_up__gathers_changes(behind: Bench) -> None:
    """Far from the end of its topic a worker does not commit at every interval: users would be written each time."""
    settings = behind.write(commit_interval="20ms")
    started_s = time.monotonic()
    with WorkerProcess(settings) as worker:
        worker.wait_until(lambda: behind.written() == MESSAGES)
        commits = worker.metric("commit_seconds_count")
        # The first one, one every fifteen seconds, and one at the end.
        assert commits <= 3 + (time.monotonic() - started_s) / 15
        assert worker.stop() == 0
