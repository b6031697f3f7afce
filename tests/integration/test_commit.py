"""Tests of the commit stage on a real store: in which order it writes, and tells what is written."""

import json
import time
from typing import Any

import numpy as np
import pytest
import redis

from config.policy_file import load_policy
from flows.clock import SystemClock
from flows.commit import Commit, Stamp
from flows.dev.embedded import ValkeyServer
from flows.items import Claimed, Committed, Dropped, Scored
from flows.measure import Measure
from flows.progress import Progress
from scoring.commit_plan import CommitPlan
from scoring.decoder import Decoder
from scoring.policy import Policy
from scoring.shard import Shard
from scoring.tables import compile_policy
from sinks.change_encoder import ChangeEncoder
from sinks.erasure import EraseEncoder
from sinks.keyspace import OFFSET, Keyspace
from sinks.output_tail import OutputTail
from sinks.profile_encoder import ProfileEncoder
from sinks.shard_store import ShardStore
from tests.integration.shard_writes import PARTITION, TOPICS
from tests.integration.worker_process import POLICY

NOW_MS = 1_788_220_800_000
CHUNK_USERS = 100
OTHER = 3
DEADLINE_S = 20.0


@pytest.fixture
def policy() -> Policy:
    """Read the policy that ships."""
    return load_policy(POLICY)


@pytest.fixture
def commit(shards: ShardStore, prefix: str, policy: Policy) -> Commit:
    """Make the stage of a worker that owns two shards."""
    clock = SystemClock()
    progress = Progress(clock)
    stage = Commit(
        shards,
        lambda claim: ProfileEncoder(policy, prefix, claim.partition),
        ChangeEncoder(policy),
        EraseEncoder(policy, prefix, TOPICS),
        OutputTail({}, {}),
        TOPICS,
        Stamp({"policy": policy.name}, "layout"),
        progress,
        clock,
        Measure(policy, prefix, progress, clock),
    )
    for partition in (PARTITION, OTHER):
        claim = shards.claim(partition)
        progress.claimed(partition, [None] * len(TOPICS))
        assert not [item for item in stage([Claimed(claim)]) if isinstance(item, Committed) and item.batches]
    return stage


def plan_of(policy: Policy, users: int, partition: int = PARTITION) -> CommitPlan:
    """Let each of so many users place a first order, and take what is to be written of them."""
    orders: list[dict[str, Any]] = [
        {
            "event_id": f"e{n}",
            "user_id": f"u{partition}-{n}",
            "type": "order_paid",
            "order_id": f"o{n}",
            "amount": "268.00",
        }
        for n in range(users)
    ]
    values = [json.dumps(order | {"event_time": NOW_MS}).encode() for order in orders]
    shard = Shard(compile_policy(policy, len(TOPICS), 0), partition, TOPICS, 0)
    shard.add(Decoder(policy, 0).decode(partition, 1, values, np.arange(users), np.full(users, NOW_MS)))
    shard.advance([True, True], [False, False])
    plan = shard.take_commit(CHUNK_USERS)
    assert plan is not None
    return plan


def test_commit__tells_of_a_chunk_while_the_store_works_on_the_next(
    commit: Commit, policy: Policy, store: redis.Redis, keys: Keyspace
) -> None:
    """Changes are published as soon as they are durable, not when the last user of a long commit is written."""
    rows, meta = keys.rows(PARTITION), keys.meta(PARTITION)
    written = commit([Scored(plan_of(policy, 5 * CHUNK_USERS))])
    for number, item in zip(range(1, 6), written, strict=False):
        assert isinstance(item, Committed)
        assert {change.id.split("-")[0] for held in item.batches for change in held.entries()} == {
            str(number)
        }
        assert store.hlen(rows) in (number * CHUNK_USERS, min(number + 1, 5) * CHUNK_USERS)
        assert not any(name.startswith(OFFSET) for name in store.hgetall(meta))
    assert not list(written)
    assert any(name.startswith(OFFSET) for name in store.hgetall(meta))


def test_commit__sends_a_chunk_of_another_shard_before_it_waits(
    commit: Commit, policy: Policy, store: redis.Redis, keys: Keyspace
) -> None:
    """The store has work while we have: when the first chunk of a shard is told of, the other's is there as well."""
    plans = [plan_of(policy, 2 * CHUNK_USERS, one) for one in (PARTITION, OTHER)]
    written = commit([Scored(plan) for plan in plans])
    first = next(written)
    assert isinstance(first, Committed)
    assert first.partition == PARTITION
    until_s = time.monotonic() + DEADLINE_S
    while not store.hlen(keys.rows(OTHER)):
        assert time.monotonic() < until_s
    rest = [item.partition for item in written if isinstance(item, Committed)]
    assert rest == [OTHER, PARTITION, OTHER]
    assert [store.hlen(keys.rows(one)) for one in (PARTITION, OTHER)] == [2 * CHUNK_USERS] * 2


def test_commit__goes_on_with_a_shard_while_another_turns_out_to_be_lost(
    commit: Commit, policy: Policy, valkey: ValkeyServer, store: redis.Redis, prefix: str, keys: Keyspace
) -> None:
    """Shards that are written in turns have fences of their own."""
    successor = ShardStore(valkey.url, prefix, TOPICS)
    successor.claim(OTHER)
    plans = [plan_of(policy, 2 * CHUNK_USERS, one) for one in (OTHER, PARTITION)]
    written = list(commit([Scored(plan) for plan in plans]))
    assert [item for item in written if isinstance(item, Dropped)] == [Dropped(OTHER)]
    assert {item.partition for item in written if isinstance(item, Committed)} == {PARTITION}
    assert [store.hlen(keys.rows(one)) for one in (PARTITION, OTHER)] == [2 * CHUNK_USERS, 0]
    successor.close()
