"""A worker that dies between the users' chunks and the offsets reads again what rows hold already."""

import numpy as np
import pytest
import redis

from scoring.policy import Policy
from scoring.row import OFFSETS
from scoring.tables import compile_policy
from scoring.user_rows import UserRows
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess

NO_OFFSET = -1


def rewind(bench: Bench) -> None:
    """Leave the store as a crash leaves it: all users written, but not how far was read."""
    for partition in range(bench.topics.partitions):
        meta = f"{bench.prefix}:shard:{{{partition:02d}}}:meta"
        place = [
            name for name in bench.store.hkeys(meta) if name.startswith((b"offset:", b"mark:", b"watermark"))
        ]
        if place:
            bench.store.hdel(meta, *place)


def forget_offsets(store: redis.Redis, prefix: str, partitions: int, policy: Policy) -> None:
    """ """
    compiled = compile_policy(policy, topics=1, allowed_lateness_ms=0)
    for partition in range(partitions):
        rows = f"{prefix}:shard:{{{partition:02d}}}:rows"
        for user_id, stored in store.hgetall(rows).items():
            users = UserRows(compiled)
            users.restore([user_id], [stored])
            row = users.row_of(user_id)
            assert users.own(row)[OFFSETS] != NO_OFFSET
            users.own(row)[OFFSETS] = NO_OFFSET
            packed, _ = users.pack(np.array([row]))
            store.hset(rows, user_id, packed.tobytes())


def score_twice(bench: Bench, spoilt: Policy | None) -> None:
    """Score a story, kill the worker, set it back, and let the next one finish; with a policy spoil its rows."""
    messages = story(events=4_000, users=400, seed=21)
    # Remembered event ids must not help: they are the other line of defence.
    settings = bench.write(duplicates_per_user=1)
    sent = bench.sender.send(messages[:2_500])
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.wait_done(worker, sent)
        worker.kill()
    rewind(bench)
    if spoilt:
        forget_offsets(bench.store, bench.prefix, bench.topics.partitions, spoilt)
    sent += bench.sender.send(messages[2_500:])
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.wait_done(worker, sent)
        assert worker.stop() == 0


def test_worker__reads_again_without_doing_again(one_topic: Bench, policy: Policy) -> None:
    """What every row holds already is skipped when it is read once more: nothing lost, nothing twice."""
    score_twice(one_topic, None)
    assert_same(one_topic.observed(), expected(policy, one_topic.sender, duplicates_per_user=1))


def test_worker__without_the_offset_check_does_it_twice(one_topic: Bench, policy: Policy) -> None:
    """The control: with rows that do not know how far they were read for, the same crash counts events twice."""
    score_twice(one_topic, policy)
    with pytest.raises(AssertionError):
        assert_same(one_topic.observed(), expected(policy, one_topic.sender, duplicates_per_user=1))
