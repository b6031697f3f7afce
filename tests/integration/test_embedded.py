"""Tests of the embedded servers: they answer, name their troubles, and never outlive who started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer, TopicPartition

from flows.dev.child import Child, ChildFailed
from flows.dev.embedded import KafkaServer, ValkeyServer, start_kafka, start_valkey
from tests.conftest import REPOSITORY, Topics

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
    assert [_is_running(pid) for pid in pids] == [True, True]
    parent.kill()
    parent.wait()
    _wait_until(lambda: not any(_is_running(pid) for pid in pids))


def test_leash__does_not_start_for_a_dead_parent() -> None:
    """A child whose parent is gone before it could ask for the signal does not start its program."""
    orphan = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "flows/dev/leash.py"),
            "0",
            "echo",
            "started",
        ],
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
        server.kill()
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
    assert (message.key(), message.value(), message.headers()) == (
        b"u1",
        b"{}",
        [("reason", b"r")],
    )
    assert message.timestamp() == (TIMESTAMP_CREATE_TIME, 1_600_000_000_123)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def _wait_until(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < give_up_at, f"not so after {deadline_s} s"
        time.sleep(0.01)
