"""Who leaves memory, and when it is worth it: a shard under a policy that nobody ever falls by."""

import numpy as np
import pytest
import yaml

from config.policy_file import parse_policy
from scoring.decoder import Decoder
from scoring.residence import LEAVING_MIN
from scoring.shard import Shard
from scoring.tables import compile_policy

NOW_MS = 1_788_220_800_000
WAVE = 2_000
POLICY = """
policy: faithful
version: 1
currency: EUR
timezone: UTC
events: {visit: {}}
features: {visits: {kind: total, events: [visit]}}
scores: {loyalty: {parts: {visits: [[0, 0], [10, 10]]}}}
ladders: {loyalty: {score: loyalty, margin: 0, rungs: [{name: none}, {name: some, enter_at: 1}]}}
"""


@pytest.fixture
def shard() -> Shard:
    """Make a shard of one topic."""
    return Shard(compile_policy(parse_policy(yaml.safe_load(POLICY), "test"), 1, 1_000, 8), 0, ("in",), 0)


def visit(shard: Shard, first: int, count: int, offset: int, *, commit: bool = True) -> None:
    """Let users visit, and take them as committed."""
    values: list[bytes | None] = [
        b'{"event_id": "e%d", "user_id": "u%d", "type": "visit", "event_time": %d}' % (offset, user, NOW_MS)
        for user in range(first, first + count)
    ]
    decoder = Decoder(shard.compiled.policy, 1_000)
    shard.add(decoder.decode(0, 0, values, np.arange(offset, offset + count), np.full(count, NOW_MS)))
    shard.advance([True], [False])
    if commit:
        shard.take_commit()


def test_let_go__keeps_memory_small_whoever_comes(shard: Shard) -> None:
    """However many users come once, those of two looks are here and all are counted."""
    for wave in range(12):
        visit(shard, wave * WAVE, WAVE, wave * WAVE)
        shard.let_go()
        assert len(shard.users) <= 2 * WAVE
        everybody = (wave + 1) * WAVE
        assert shard.users.rung_counts() == [[0, everybody]]
        assert len(shard.users) + shard.users.cold.away == everybody


def test_let_go__leaves_few_users_where_they_are(shard: Shard) -> None:
    """A handful, or a small share, is not worth moving all others."""
    visit(shard, 0, LEAVING_MIN - 1, 0)
    assert [shard.let_go(), shard.let_go(), shard.let_go()] == [0, 0, 0]
    visit(shard, LEAVING_MIN, 5 * LEAVING_MIN, LEAVING_MIN)
    assert shard.let_go() == 0
    visit(shard, LEAVING_MIN, 4 * LEAVING_MIN, 10 * LEAVING_MIN)
    assert shard.let_go() == 2 * LEAVING_MIN - 1


def test_let_go__keeps_whom_the_store_has_not_yet(shard: Shard) -> None:
    """Who changed since the last commit stays, however long ago it was."""
    visit(shard, 0, WAVE, 0, commit=False)
    assert [shard.let_go(), shard.let_go()] == [0, 0]
    shard.take_commit()
    assert shard.let_go() == WAVE


def test_meet__asks_only_for_who_may_be_away(shard: Shard) -> None:
    """A shard of whom nobody is away asks for nobody; then for each newcomer once."""
    visit(shard, 0, WAVE, 0)
    assert shard.meet([b"new"]) == []
    shard.let_go()
    assert shard.let_go() == WAVE + 1
    assert shard.meet([b"u1", b"newer", b"u1"]) == [b"u1", b"newer"]
    assert shard.meet([b"u1"]) == []
