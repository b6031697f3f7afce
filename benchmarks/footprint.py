"""This file asks how many bytes an active user takes, part by part: in a worker with the shipped policy, and in Redis.

python -m benchmarks.footprint [--users N] [--events-each N] [--save FILE]

Users are drawn uniformly, so that all are active; those who have been silent for long stand in Redis alone. Who has had
no message for 10 to 20 s is at rest. A shard in this process tells what its arrays hold; a real worker scores the same
events, and the store says how large each kind of key is (MEMORY USAGE), and all of them together.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.decode import FUTURE_TOLERANCE_MS
from benchmarks.end_to_end import wait_for
from benchmarks.generator import events
from benchmarks.memory import LATENESS_MS, TOPICS, send, stream
from benchmarks.record import save_record
from config.policy_file import load_policy
from flows.dev.generator import Message
from flows.dev.stack import PARTITIONS, POLICY, PREFIX, Stack
from scoring.decoder import Decoder
from scoring.event_ids import TAGS_PER_WORD, WORDS_OF_FOUR
from scoring.events import Int64s
from scoring.memory import CLASS_WORDS
from scoring.policy import Policy
from scoring.row import (
    FIRST_SEEN,
    IDS_AT,
    IDS_CAP,
    LADDER_WORDS,
    NEWEST,
    ORDERS_AT,
    ORDERS_CAP,
    feature_words,
)
from scoring.row_bytes import NEAR_BYTES_MAX
from scoring.row_codec import FINGERPRINT_BYTES
from scoring.shard import Shard
from scoring.state import C_FREE
from scoring.tables import compile_policy
from scoring.user_rows import UserRows
from sinks.keyspace import Keyspace

BATCH = 20_000
PROFILES = 2_000
WORD, CODE = 8, 0.5
Bytes = dict[str, float]


def scored(policy: Policy, messages: Iterable[Message]) -> Shard:
    """Let one shard score messages, and take them for stored."""
    shard = Shard(compile_policy(policy, len(TOPICS), LATENESS_MS, 1024), 0, TOPICS, 5_000)
    decoder, waiting = Decoder(policy, FUTURE_TOLERANCE_MS), {topic: [] for topic in TOPICS}
    offset = dict.fromkeys(TOPICS, 0)

    def hand_over(topic: str) -> None:
        some = waiting[topic]
        offsets = np.arange(offset[topic], offset[topic] + len(some))
        times = np.array([one.ingest_time_ms for one in some], np.int64)
        values = [one.value for one in some]
        shard.add(decoder.decode(0, TOPICS.index(topic), values, offsets, times))
        offset[topic] += len(some)
        some.clear()

    for one in messages:
        waiting[one.topic].append(one)
        if len(waiting[one.topic]) == BATCH:
            hand_over(one.topic)
    for topic in TOPICS:
        hand_over(topic)
    shard.advance([True, True], [True, True])
    shard.take_commit()
    return shard


def in_a_worker(policy: Policy, shard: Shard) -> Bytes:
    """Answer bytes of a user at rest by part of the layout, and what he takes besides while he is at work."""
    users, count = shard.users, len(shard.users)
    everybody = np.arange(count)
    rows, wide = users.state.rows[users.state.place[everybody]], 8 * users.state.rows.shape[1]
    words = rows[:, : users.compiled.layout.width]
    ids_words = 1 + WORDS_OF_FOUR * (words[:, IDS_CAP] // TAGS_PER_WORD)
    ids_words = -(-ids_words // CLASS_WORDS) * CLASS_WORDS
    lists = WORD * (ids_words + words[:, ORDERS_CAP]).mean()
    found = at_rest(policy, users, words)
    before = users.state.heap[0] - users.state.counts[C_FREE]
    users.lay_to_rest(everybody)
    blocks = WORD * (users.state.heap[0] - users.state.counts[C_FREE] - before) / count + lists
    found["rest: its block, beyond that"] = blocks - sum(found.values())
    state, index = users.state, users.index
    columns = [state.place, state.due, state.dirty, state.dirty_rows, users.heard]
    columns += [users.committed_rung, users.committed_seq, users.committed_home]
    ids = int(index.spans(everybody)[1][-1])
    found["index: id, hash and slots"] = ids / count + 2 * WORD + 2 * WORD * index.capacity / count
    found["where he is, what the store has, deadlines, marks"] = sum(one[:1].nbytes for one in columns)
    found["all of these"] = sum(found.values())
    found["at work, besides: wide row"] = wide
    found["at work, besides: ids and orders"] = lists
    return {name: round(float(size), 1) for name, size in found.items()}


def at_rest(policy: Policy, users: UserRows, words: Int64s) -> Bytes:
    """Answer bytes of a row at rest by part, as scoring/row_bytes.py lays them out; `words` are those at work."""
    is_told = words != users.compiled.blank_row[: words.shape[1]]
    is_told[:, [IDS_AT, IDS_CAP, ORDERS_AT, ORDERS_CAP]] = False
    newest_ms = np.where(np.arange(words.shape[1]) > NEWEST, words[:, [NEWEST]], 0)
    near = signed_bytes(words - newest_ms)
    size = np.minimum(signed_bytes(words), np.where(near > NEAR_BYTES_MAX, WORD, near))
    behind_first = np.arange(words.shape[1]) > FIRST_SEEN
    size = np.where(behind_first & (words == words[:, [FIRST_SEEN]]), 0, size) + CODE
    own = (size * is_told).mean(axis=0)
    at, features = users.compiled.layout.ladders_at, users.compiled.layout.feature_at
    windows = sum(
        own[first : first + feature_words(one)].sum()
        for first, one in zip(features, policy.features, strict=True)
        if one.kind == "window"
    )
    found = {
        "rest: which words are told": -(-words.shape[1] // 8),
        "rest: the user and topics": own[:at].sum(),
        "rest: ladders": own[at : at + LADDER_WORDS * len(policy.ladders)].sum(),
        "rest: windows": windows,
    }
    found["rest: other features"] = own.sum() - sum(list(found.values())[1:])
    _, start = users.pack(np.arange(words.shape[0]))
    stored = (start[-1] / words.shape[0]) - FINGERPRINT_BYTES
    found["rest: remembered ids and orders"] = stored - sum(found.values())
    return found


def signed_bytes(words: Int64s) -> Int64s:
    """Answer how many bytes each of these signed numbers needs; 0 for 0."""
    rest = words ^ (words >> 63)
    more: Int64s = sum((rest >= 1 << (8 * size - 1)).astype(np.int64) for size in range(1, WORD))
    return np.where(words == 0, 0, 1 + more)


def in_the_store(store: Any, users: int, empty: int) -> Bytes:
    """Answer bytes a user by kind of key, and of all of them."""
    keys = Keyspace(PREFIX)
    profiles = [key for _, key in zip(range(PROFILES), store.scan_iter(f"{PREFIX}:user:*"), strict=False)]
    audiences = list(store.scan_iter(f"{PREFIX}:audience:*"))
    shards = [key(one) for one in range(PARTITIONS) for key in (keys.rows, keys.cold)]

    def size(names: list[bytes]) -> int:
        return sum(store.memory_usage(name, samples=0) or 0 for name in names)

    return {
        "profile": round(size(profiles) / len(profiles), 1),
        "row": round(size(shards) / users, 1),
        "audiences": round(size(audiences) / users, 1),
        "all, by used_memory": round((store.info("memory")["used_memory"] - empty) / users, 1),
    }


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--users", type=int, default=200_000)
    options.add_argument("--events-each", type=int, default=20)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    count, policy = chosen.users * chosen.events_each, load_policy(POLICY)
    shard = scored(policy, events(count, chosen.users, time.time_ns() // 1_000_000))
    users, worker = len(shard.users), in_a_worker(policy, shard)
    with Stack() as stack:
        store: Any = redis.from_url(stack.valkey.url)
        empty = store.info("memory")["used_memory"]
        stack.start_worker()
        wait_for(stack, PREFIX, send(stack, stream(chosen.users, count)))
        found = in_the_store(store, users, empty)
    for title, parts in (("worker", worker), ("store", found)):
        for name, size in parts.items():
            print(f"{title:8} {name:40} {size:8.1f} bytes a user")
    save_record(chosen.save, {"users": users, "worker": worker, "store": found})


if __name__ == "__main__":
    main()
