"""This file shows that users are cut into chunks without anything of them being lost or mixed up."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import yaml

from config.policy_file import parse_policy
from scoring import commit_chunks
from scoring.cold_users import ColdUsers
from scoring.commit_chunks import chunk_users_of
from scoring.commit_plan import CommitChunk, CommitPlan
from scoring.decoder import Decoder
from scoring.shard import Shard
from scoring.tables import compile_policy

NOW_MS = 1_788_220_800_000
USERS, CHUNK_USERS = 300, 2
POLICY = """
policy: mixed
version: 1
currency: EUR
timezone: UTC
events: {look: {}, stay: {}}
features:
  heat: {kind: decayed, half_life: 1d, weights: {look: 1, stay: 2}}
  visits: {kind: total, events: [look, stay]}
scores:
  heat: {parts: {heat: [[0, 0], [10, 10]]}}
  visits: {parts: {visits: [[0, 0], [10, 10]]}}
ladders:
  heat: {score: heat, margin: 0, rungs: [{name: cold}, {name: warm, enter_at: 1.5}, {name: hot, enter_at: 3.5}]}
  visits: {score: visits, margin: 0, rungs: [{name: one}, {name: two, enter_at: 2}]}
"""


def plans(chunk_users: int) -> list[CommitPlan]:
    """Commit what the same users do in three rounds: all come, every second comes again, all come again."""
    shard = Shard(compile_policy(parse_policy(yaml.safe_load(POLICY), "test"), 1, 10**9, 8), 0, ("in",), 0)
    decoder, made, offset = Decoder(shard.compiled.policy, 10**9), [], 0
    for step, kinds in ((1, 3), (2, 2), (1, 2)):
        values: list[bytes | None] = [
            b'{"event_id": "e%d", "user_id": "user-%d", "type": "%b", "event_time": %d}'
            % (offset + user, user, b"look" if user % kinds else b"stay", NOW_MS + offset)
            for user in range(0, USERS, step)
        ]
        places = np.arange(offset, offset + len(values))
        shard.add(decoder.decode(0, 0, values, places, np.full(len(values), NOW_MS + offset)))
        shard.advance([True], [False])
        offset += len(values)
        plan = shard.take_commit(chunk_users)
        assert plan is not None
        made.append(plan)
    return made


def pieces(of: np.ndarray, start: np.ndarray) -> list[bytes]:
    """Take what lies in one array apart."""
    return [of[begin:end].tobytes() for begin, end in pairwise(start.tolist())]


def assert_same_users(chunks: list[CommitChunk], whole: CommitChunk) -> None:
    """Compare chunks, one behind the other, with one chunk of all."""
    for name in ("user", "row"):
        found = [one for chunk in chunks for one in pieces(*(getattr(chunk, f"{name}_{of}") for of in SPAN))]
        assert found == pieces(*(getattr(whole, f"{name}_{of}") for of in SPAN))
    for name in COLUMNS:
        joined = np.concatenate([getattr(chunk, name) for chunk in chunks])
        np.testing.assert_array_equal(joined, getattr(whole, name), name)


SPAN = ("bytes", "start")
APART = {"user_bytes", "user_start", "row_bytes", "row_start", "cold", "changes", "dead_letters"}
COLUMNS = [one.name for one in fields(CommitChunk) if one.name not in APART]


def test_chunks__hold_together_what_one_chunk_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the chunks are, and whichever block they are in, users come in the same order with the same."""
    monkeypatch.setattr(commit_chunks, "BLOCK_USERS", 40 * CHUNK_USERS)
    for cut, whole in zip(plans(CHUNK_USERS), plans(10**6), strict=True):
        (alone,) = whole.chunks
        assert len(cut.blocks) > 1
        assert max(len(block.chunks) for block in cut.blocks) == 40
        assert_same_users(cut.chunks, alone)
        assert [change for chunk in cut.chunks for change in chunk.changes] == list(alone.changes)
        for block in cut.blocks:
            assert_same_users(block.chunks, block.users)
            assert np.diff(block.start).tolist() == [len(chunk) for chunk in block.chunks]
        assert max(map(len, cut.chunks)) == CHUNK_USERS


def test_chunks__count_cold_users_as_if_each_were_cut_alone() -> None:
    """Each chunk that moves anybody cold has the count as of behind it, and no other has one."""
    slow = ColdUsers(compile_policy(parse_policy(yaml.safe_load(POLICY), "test"), 1, 10**9, 8))
    recounted = []
    for plan in plans(CHUNK_USERS):
        for chunk in plan.chunks:
            recounted.append(slow.move(chunk.home, chunk.rung, chunk.committed_home, chunk.committed_rung))
            assert chunk.cold == (slow.count() if recounted[-1] else None)
    assert set(recounted) == {True, False}


@pytest.mark.parametrize(
    ("users", "chunk_users"), [(0, 50), (5_000, 50), (10_000, 100), (20_000, 200), (10**6, 200)]
)
def test_chunks__grow_only_with_commits_that_cannot_keep_up(users: int, chunk_users: int) -> None:
    """Readers wait for 50 users as long as commits are small; who has a hundred times as many to write saves trips."""
    assert chunk_users_of(users) == chunk_users
