"""Tests of the embedded servers: they answer, name their troubles, and never outlive who started them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer, TopicPartition

from flows.dev.change_feed import ChangeFeed
from flows.dev.child import Child, ChildFailed
from flows.dev.embedded import KafkaServer, ValkeyServer, start_kafka, start_valkey
from flows.dev.generator import Message
from flows.dev.load import Loader, LoadFailed
from tests.conftest import REPOSITORY, Topics
from tests.integration.processes import is_running

PARENT = """
import time
from flows.dev.embedded import start_kafka, start_valkey
print(start_valkey().pid, start_kafka().pid, flush=True)
time.sleep(600)
"""


def test_servers__die_with_a_killed_parent() -> None:
    """No server is left when the process that started it is killed with kill -9."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert [is_running(pid) for pid in pids] == [True, True]
    parent.kill()
    parent.wait()
    _wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_leash__does_not_start_for_a_dead_parent() -> None:
    """A child whose parent is gone before it could ask for the signal does not start its program."""
    orphan = subprocess.run(
        [sys.executable, str(REPOSITORY / "flows/dev/leash.py"), "0", "echo", "started"],
        check=False,
        capture_output=True,
    )
    assert (orphan.returncode, orphan.stdout) == (1, b"")


def test_child__that_ends_is_named_with_its_log() -> None:
    """A child that ends before it is ready shows its exit code and what it printed."""
    child = Child("small", [sys.executable, "-c", "print('no such disk'); raise SystemExit(3)"])
    with pytest.raises(ChildFailed, match=r"small ended with exit code 3.*\n.*no such disk"):
        child.wait_until(lambda: False, deadline_s=10)


def test_child__that_is_never_ready_is_named_with_its_log() -> None:
    """A child that hangs is reported after the deadline with what it printed."""
    child = Child("slow", ["sh", "-c", "echo still loading; sleep 60"])
    with pytest.raises(ChildFailed, match=r"slow was not ready after 0.5 s.*\n.*still loading"):
        child.wait_until(lambda: False, deadline_s=0.5)
    assert child.stop() == -signal.SIGTERM


def test_start__on_a_taken_port_fails_by_name(valkey: ValkeyServer, kafka: KafkaServer) -> None:
    """A server that cannot have its port says so."""
    with pytest.raises(ChildFailed, match="in use"):
        start_valkey(port=valkey.port)
    with pytest.raises(ChildFailed, match="in use"):
        start_kafka(port=kafka.port)


def test_valkey__keeps_what_was_saved_in_its_folder(tmp_path: Path) -> None:
    """A Valkey with a folder comes back with the data of the last SAVE, also after a kill."""
    with start_valkey(folder=tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        client.set("kept", "1")
        client.save()
        client.set("lost", "1")
        server.close()
    with start_valkey(port=server.port, folder=tmp_path) as again:
        assert redis.Redis.from_url(again.url).keys() == [b"kept"]


def test_server__paused_answers_again_when_resumed(valkey: ValkeyServer) -> None:
    """A paused server keeps its connections and does not answer; a resumed one does."""
    client = redis.Redis.from_url(valkey.url, socket_timeout=0.3, retry=None)
    valkey.pause()
    try:
        with pytest.raises(redis.TimeoutError):
            client.ping()
    finally:
        valkey.resume()
    assert client.ping()


def test_kafka__keeps_key_headers_and_the_producers_time(kafka: KafkaServer, topics: Topics) -> None:
    """A message comes back with its key, headers, value and the time its producer gave it."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    producer.produce(
        topics.orders,
        key=b"u1",
        value=b"{}",
        headers=[("reason", b"r")],
        timestamp=1_600_000_000_123,
        partition=2,
    )
    assert producer.flush(10) == 0
    consumer = Consumer({**kafka.client_settings, "group.id": topics.group})
    consumer.assign([TopicPartition(topics.orders, 2, 0)])
    message = consumer.poll(10)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert (message.key(), message.value(), message.headers()) == (b"u1", b"{}", [("reason", b"r")])
    assert message.timestamp() == (TIMESTAMP_CREATE_TIME, 1_600_000_000_123)


def test_loader__delivers_all_and_keeps_users_together(kafka: KafkaServer, topics: Topics) -> None:
    """Everything sent is confirmed and readable, and a user has the same partition number in both topics."""
    messages = [
        Message(topic, b"u%d" % (number % 50), b'{"n":%d}' % number, 1_600_000_000_000 + number)
        for number in range(2_000)
        for topic in ("clickstream", "orders")
    ]
    names = {"clickstream": topics.clickstream, "orders": topics.orders}
    assert Loader(kafka.bootstrap, messages, topics=names).run() == 4_000
    places: dict[bytes, set[int]] = {}
    read = 0
    consumer = Consumer({**kafka.client_settings, "group.id": topics.group})
    consumer.assign([TopicPartition(topic, number, 0) for topic in topics.input for number in range(4)])
    while read < 4_000:
        for message in consumer.consume(1_000, 5):
            read += 1
            places.setdefault(message.key() or b"", set()).add(message.partition() or 0)
    consumer.close()
    assert {len(numbers) for numbers in places.values()} == {1}
    assert set.union(*places.values()) == {0, 1, 2, 3}


def test_loader__keeps_its_pace(kafka: KafkaServer, topics: Topics) -> None:
    """A wanted rate is held over the run."""
    started = time.monotonic()
    messages = [Message("orders", b"u", b"{}", 1_600_000_000_000)] * 500
    assert Loader(kafka.bootstrap, messages, rate=1_000, topics={"orders": topics.orders}).run() == 500
    assert time.monotonic() - started >= 0.49


def test_loader__names_what_the_broker_refused(kafka: KafkaServer) -> None:
    """A message the producer cannot send ends the run with an error instead of passing for delivered."""
    huge = Message("orders", b"u", b"x" * 30_000_000, 1_600_000_000_000)
    with pytest.raises(LoadFailed, match="MSG_SIZE_TOO_LARGE"):
        Loader(kafka.bootstrap, [huge]).run()


def test_change_feed__gives_each_change_once(kafka: KafkaServer, topics: Topics) -> None:
    """Changes sent again are dropped by their sequence, and the end of the topic is noticed."""
    change = {
        "user_id": "u1",
        "ladder": "tier",
        "from": "bronze",
        "from_rank": 0,
        "to": "silver",
        "to_rank": 1,
    }
    change |= {"direction": "up", "cause": "event", "score": 20.5, "effective_at": "2026-09-01T08:00:00.000Z"}
    change |= {"why": [{"feature": "spend", "points": 20.5}], "later_field": 1}
    values = [json.dumps({**change, "seq": seq}).encode() for seq in (1, 2, 1, 2, 3)]
    Loader(kafka.bootstrap, [Message(topics.changes, b"u1", value, 1) for value in values]).run()
    feed = ChangeFeed(kafka.client_settings, topics.changes, topics.partitions)
    taken = []
    while not (feed.at_end and taken):
        taken += feed.take(timeout_s=1)
    feed.close()
    assert [(seen.seq, seen.from_rung, seen.to_rung) for seen in taken] == [
        (seq, "bronze", "silver") for seq in (1, 2, 3)
    ]
    assert feed.repeats == 2


def _wait_until(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < give_up_at, f"not so after {deadline_s} s"
        time.sleep(0.01)
