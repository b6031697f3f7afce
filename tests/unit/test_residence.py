"""Who leaves memory, who rests in it, and when that is worth it: under a policy nobody falls by, and under another."""

import numpy as np
import pytest
import yaml

from config.policy_file import parse_policy
from scoring.decoder import Decoder
from scoring.residence import LEAVING_MIN
from scoring.row import ID_TIME_BITS, NEWEST
from scoring.row_codec import list_ids
from scoring.shard import Shard
from scoring.state import C_FREE, C_VACANT
from scoring.tables import compile_policy
from scoring.user_rows import UserRows

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
FICKLE = POLICY.replace("kind: total, events: [visit]", "kind: decayed, half_life: 1d, weights: {visit: 2}")
DAY_MS = 86_400_000


def shard_under(policy: str) -> Shard:
    """Make a shard of one topic."""
    return Shard(compile_policy(parse_policy(yaml.safe_load(policy), "test"), 1, 1_000, 8), 0, ("in",), 0)


@pytest.fixture
def shard() -> Shard:
    """Make a shard whose users are cold from their first visit on."""
    return shard_under(POLICY)


@pytest.fixture
def fickle() -> Shard:
    """Make a shard whose users fall one day after a visit."""
    return shard_under(FICKLE)


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


def test_let_go__lays_to_rest_whom_nobody_hears_of(fickle: Shard) -> None:
    """Users stay as they are over a look after their last message, then rest, and work again at the next one."""
    visit(fickle, 0, WAVE, 0)
    fickle.let_go()
    assert fickle.users.at_work.all()
    fickle.let_go()
    assert not fickle.users.at_work.any()
    assert fickle.users.rung_counts() == [[0, WAVE]]
    visit(fickle, 5, 10, WAVE)
    assert np.flatnonzero(fickle.users.at_work).tolist() == list(range(5, 15))


def test_let_go__leaves_at_work_who_is_to_be_stored(fickle: Shard) -> None:
    """What the store has not yet, or not as it is, is not folded, however quiet its user."""
    visit(fickle, 0, WAVE, 0)
    visit(fickle, 0, WAVE, WAVE, commit=False)
    visit(fickle, WAVE, WAVE, 2 * WAVE, commit=False)
    fickle.let_go()
    fickle.let_go()
    assert fickle.users.at_work.all()


def test_let_go__does_not_take_nobody_for_somebody(fickle: Shard) -> None:
    """Who was only asked for has no row to rest in, and is not counted."""
    visit(fickle, 0, WAVE, 0)
    fickle.meet([b"somebody", b"else"])
    fickle.let_go()
    fickle.let_go()
    assert np.flatnonzero(fickle.users.at_work).tolist() == [WAVE, WAVE + 1]
    assert int(fickle.users.seen.sum()) == WAVE


def test_let_go__does_not_move_a_handful(fickle: Shard) -> None:
    """Few users at work, or few quiet ones among many, stay where they are."""
    visit(fickle, 0, LEAVING_MIN - 1, 0)
    for _ in range(3):
        fickle.let_go()
    assert fickle.users.at_work.all()
    visit(fickle, LEAVING_MIN, 5 * LEAVING_MIN, LEAVING_MIN)
    fickle.let_go()
    assert fickle.users.at_work.all()


def test_fire__finds_those_at_rest(fickle: Shard) -> None:
    """A deadline moves whoever rests, as it moves the others."""
    visit(fickle, 0, WAVE, 0)
    fickle.let_go()
    fickle.let_go()
    visit(fickle, 0, 10, WAVE)
    fickle.fire(NOW_MS + 3 * DAY_MS)
    assert fickle.users.rung_counts() == [[WAVE, 0]]
    assert fickle.counters.deadlines_fired == WAVE


def test_let_go__gives_memory_back(fickle: Shard) -> None:
    """What a rush of users took is not kept when they rest."""
    visit(fickle, 0, 20 * WAVE, 0)
    rows = fickle.users.state.rows.shape[0]
    fickle.let_go()
    fickle.let_go()
    assert fickle.users.rung_counts() == [[0, 20 * WAVE]]
    assert fickle.users.state.rows.shape[0] * 8 < rows


def test_rest__takes_and_gives_back_the_same_memory(fickle: Shard) -> None:
    """However often users rest and work, they need no more blocks and no more rows than the first time."""
    for offset in range(0, 9 * WAVE, WAVE):  # Some blocks of ids are larger than the first size.
        visit(fickle, offset % 300, WAVE - offset % 300, offset)
    everybody, found = np.arange(len(fickle.users)), []
    for _ in range(4):
        fickle.users.lay_to_rest(everybody)
        fickle.users.put_to_work(everybody)
        counts = fickle.users.state.counts
        found.append([int(fickle.users.state.heap[0]), int(counts[C_FREE]), int(counts[C_VACANT])])
    assert found[1:] == found[:1] * 3
    assert found[0][2] == fickle.users.state.rows.shape[0] - len(everybody)


def test_put_to_work__has_room_for_who_remembers_more_than_is_remembered_now() -> None:
    """Whose ids were stored under a larger `duplicates_per_user` has all of them, in a pool that was nearly full."""
    ids = np.full(2_000, -(-NOW_MS >> ID_TIME_BITS))
    ids[::2] = np.arange(1_000)
    policy = parse_policy(yaml.safe_load(POLICY), "test")
    before, now = (UserRows(compile_policy(policy, 1, 1_000, bound)) for bound in (1_024, 8))
    row = before.row_of(b"u1")
    before.own(row)[NEWEST] = NOW_MS
    before.remember(row, ids, np.empty(0, np.int64))
    now.restore([b"u1"], [before.pack(np.array([row]))[0].tobytes()])
    now.grow_pool()
    now.state.heap[0] = now.state.pool.shape[0] - now.compiled.pool_words_max
    now.put_to_work(np.array([0]))
    assert list_ids(now.state, 0).tolist() == ids.tolist()
    assert now.state.heap[0] <= now.state.pool.shape[0]
