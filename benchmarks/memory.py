"""This file asks what a worker's memory depends on: idle users, one hot user, one hot partition, a hanging store.

python -m benchmarks.memory [--idle N ...] [--save FILE]

Each case has servers of its own and one real worker with the shipped policy. Idle users are written straight into
the store, as users whom a real shard has scored and who have been silent for long: apart, as a worker leaves them,
and, as the control, among the rows that a worker loads. Memory is that of the process, at its end and at its peak.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import redis
from confluent_kafka import Producer

from benchmarks.decode import FUTURE_TOLERANCE_MS
from benchmarks.end_to_end import wait_for
from benchmarks.generator import events
from config.policy_file import load_policy
from flows.dev.generator import CLICKSTREAM, ORDERS, Message
from flows.dev.stack import PARTITIONS, POLICY, PREFIX, Stack
from scoring.commit_plan import COLD, WARM, ColdCount, CommitChunk
from scoring.decoder import Decoder
from scoring.row import OFFSETS
from scoring.shard import Shard
from scoring.tables import compile_policy
from sinks import keyspace
from sinks.cold_count import cold_text
from sinks.keyspace import Keyspace

SILENT_MS = {COLD: 365 * 86_400_000, WARM: 3 * 86_400_000}
LATENESS_MS = 259_200_000
TOPICS = (CLICKSTREAM, ORDERS)
PAGE = 2_000
SENT_AT_ONCE = 200_000
ACTIVE, ACTIVE_EVENTS = 4_000, 20_000
STREAM_USERS, STREAM_EVENTS = 100_000, 400_000
HOT_EVENTS = 100_000
HANG_S = 15.0
MB = 1024


def silent_user(home: int, policy_file: Path = POLICY) -> CommitChunk:
    """Score one user, who then is silent for a year, or for some days; answer what is committed of him today."""
    policy = load_policy(policy_file)
    shard = Shard(compile_policy(policy, len(TOPICS), LATENESS_MS, 1024), 0, TOPICS, 5_000)
    now_ms = time.time_ns() // 1_000_000
    seen_ms = now_ms - SILENT_MS[home]
    messages = [one for one in events(1_000, 1, seen_ms) if one.topic == CLICKSTREAM][:20]
    times = np.array([one.ingest_time_ms for one in messages])
    decoder = Decoder(policy, FUTURE_TOLERANCE_MS)
    shard.add(decoder.decode(0, 0, [one.value for one in messages], np.arange(len(messages)), times))
    shard.advance([True, True], [False, True])
    shard.users.own(0)[OFFSETS : OFFSETS + len(TOPICS)] = -1  # Those were of topics of another life.
    shard.fire(now_ms)
    plan = shard.take_commit()
    assert plan is not None
    (chunk,) = plan.chunks
    assert chunk.home[0] == home
    return chunk


def fill(store: Any, users: int, home: int) -> int:
    """Write so many silent users, a quarter into each shard; answer the bytes of a row."""
    size = 0
    for partition in range(PARTITIONS):
        size = fill_shard(store, partition, (idle(partition, n) for n in range(users // PARTITIONS)), home)
    return size


def fill_shard(
    store: Any, partition: int, names: Iterator[str], home: int, policy_file: Path = POLICY
) -> int:
    """Write silent users of these names into one shard; answer the bytes of a row."""
    keys, chunk, count = Keyspace(PREFIX), silent_user(home, policy_file), 0
    row, compiled = (
        chunk.row_bytes.tobytes(),
        compile_policy(load_policy(policy_file), len(TOPICS), LATENESS_MS, 1024),
    )
    key = keys.cold(partition) if home == COLD else keys.rows(partition)
    while some := list(islice(names, PAGE)):
        store.execute_command("HSET", key, *(part for name in some for part in (name, row)))
        count += len(some)
    if home == COLD and count:
        rungs = [[0] * len(ladder.rungs) for ladder in compiled.policy.ladders]
        for ladder, rank in zip(rungs, chunk.rung[0].tolist(), strict=True):
            ladder[rank] = count
        cold = ColdCount(compiled.layout.fingerprint, rungs)
        store.hset(keys.meta(partition), keyspace.COLD, cold_text(cold))
    return len(row)


def idle(partition: int, number: int) -> str:
    """Name an idle user."""
    return f"idle-{partition}-{number:08d}"


def returning(users: int) -> Iterator[tuple[int, Message]]:
    """Let idle users do something, and as many new ones."""
    now_ms = time.time_ns() // 1_000_000
    for number, one in enumerate(events(ACTIVE_EVENTS, 1, now_ms)):
        partition, which = number % PARTITIONS, number % (ACTIVE // PARTITIONS)
        user = idle(partition, which) if which % 2 and users else f"new-{partition}-{which}"
        yield (
            partition,
            one._replace(key=user.encode(), value=(one.value or b"").replace(b"u0000000", user.encode())),
        )


def stream(users: int, count: int, partition: int | None = None) -> Iterator[tuple[int, Message]]:
    """Let users do something, each in his own partition or all in one."""
    for one in events(count, users, time.time_ns() // 1_000_000):
        yield crc32(one.key) % PARTITIONS if partition is None else partition, one


def send(stack: Stack, messages: Iterable[tuple[int, Message]]) -> int:
    """
    Send messages to their partitions; answer how many.

    In large batches, as a busy sender makes them: Tansu takes its time for each one, and a fetch brings one of each
    partition. With ten messages in a batch it is the broker of 96 partitions that is measured.
    """
    settings = {"linger.ms": 1000, "queue.buffering.max.messages": 2 * SENT_AT_ONCE, "log_level": 0}
    producer, count = Producer({"bootstrap.servers": stack.kafka.bootstrap, **settings}), 0
    for partition, one in messages:
        producer.produce(
            one.topic, key=one.key, value=one.value, partition=partition, timestamp=one.ingest_time_ms
        )
        count += 1
        if count % SENT_AT_ONCE == 0:
            producer.flush()
    assert producer.flush(60) == 0
    return count


def measured(
    messages: Iterable[tuple[int, Message]],
    users: int = 0,
    home: int = COLD,
    meanwhile: Callable[[Stack], None] | None = None,
) -> dict[str, float]:
    """Let one worker score messages in front of idle users; answer seconds and MiB."""
    with Stack() as stack:
        store: Any = redis.from_url(stack.valkey.url)
        figures: dict[str, float] = {"row_bytes": fill(store, users, home)} if users else {}
        figures["store_mb"] = round(store.info("memory")["used_memory"] / MB / MB)
        count = send(stack, messages)
        started_s, keys = time.monotonic(), Keyspace(PREFIX)
        worker = stack.start_worker()
        while not any(store.hexists(keys.meta(one), keyspace.LAYOUT) for one in range(PARTITIONS)):
            time.sleep(0.02)
        figures["first_commit_s"] = round(time.monotonic() - started_s, 2)
        if meanwhile:
            meanwhile(stack)
        wait_for(stack, PREFIX, count)
        figures |= {"rss_mb": memory_mb(worker.pid, "VmRSS"), "peak_mb": memory_mb(worker.pid, "VmHWM")}
        assert worker.stop(30) == 0
        return figures


def hang(stack: Stack) -> None:
    """Stop the store for a while, with most of the backlog still to come."""
    stack.valkey.pause()
    time.sleep(HANG_S)
    stack.valkey.resume()


def memory_mb(pid: int, name: str) -> int:
    """Answer a line of a process's status."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    )
    return int(lines[name].split()[0]) // MB


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "--idle", type=int, nargs="*", default=[0, 1_000_000], help="idle users in the store"
    )
    options.add_argument(
        "--loaded", type=int, nargs="*", default=[1_000_000], help="the same, all of them loaded"
    )
    options.add_argument("--no-streams", action="store_true", help="leave the other cases out")
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    cases: dict[str, Callable[[], dict[str, float]]] = {}
    for users in chosen.idle:
        cases[f"{users} idle users apart"] = lambda users=users: measured(returning(users), users)
    for users in chosen.loaded:
        cases[f"{users} idle users loaded"] = lambda users=users: measured(returning(users), users, WARM)
    if not chosen.no_streams:
        cases["a backlog"] = lambda: measured(stream(STREAM_USERS, STREAM_EVENTS))
        cases["the same in one partition"] = lambda: measured(stream(STREAM_USERS, STREAM_EVENTS, 0))
        cases[f"the same, the store hangs for {HANG_S:g} s"] = lambda: measured(
            stream(STREAM_USERS, STREAM_EVENTS), meanwhile=hang
        )
        cases["one hot user"] = lambda: measured(stream(1, HOT_EVENTS))
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.memory", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "cases": {},
    }
    for name, run in cases.items():
        result["cases"][name] = run()
        print(f"{name:44} {result['cases'][name]}", flush=True)
        if chosen.save:
            chosen.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
