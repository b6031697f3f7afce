"""Users who fall silent leave memory and come back. This file shows that nobody can tell from what comes out."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from scoring.commit_plan import COLD, WARM
from scoring.policy import Policy
from scoring.row import (
    FIRST_SEEN,
    ID_TIME_BITS,
    IDS_AT,
    IDS_CAP,
    NEWEST,
    NONE,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
)
from scoring.row_codec import fingerprint_of, list_ids
from scoring.user_rows import RowMisread, UserRows
from tests.property.test_shard_equals_reference import (
    SLOW,
    Worker,
    assert_equal,
    compiled_tables,
    specified,
)
from tests.strategies import Stream, policies, shard_limits, streams

INT64 = np.iinfo(np.int64)
UINT32_MAX = 2**32 - 1


def assert_counted(worker: Worker) -> None:
    """Compare the counts of a shard with nothing uncommitted with all rows that the store has."""
    store, users = worker.store, worker.shard.users
    assert not store.rows.keys() & store.cold.keys()
    everybody, away = UserRows(worker.compiled), len(store.cold)
    for home, rows in ((COLD, store.cold), (WARM, store.rows)):
        everybody.restore(list(rows), list(rows.values()), home)
    present = everybody.committed_rung[: len(everybody)]
    assert users.rung_counts() == counted(worker.compiled.policy, present)
    if away:
        assert store.cold_count is not None
        assert store.cold_count.rungs == counted(worker.compiled.policy, present[:away])
    assert users.cold.away == away - int((users.committed_home[: len(users)] == COLD).sum())
    assert int(users.seen.sum()) + users.cold.away == len(everybody)


def counted(policy: Policy, ranks: np.ndarray) -> list[list[int]]:
    """Count who stands on each rung of each ladder."""
    return [
        np.bincount(ranks[:, number], minlength=len(ladder.rungs)).tolist()
        for number, ladder in enumerate(policy.ladders)
    ]


@settings(max_examples=70, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), streams(), st.data())
def test_cold_users__leave_and_come_back_unnoticed(
    policy: Policy, limits: dict[str, int], stream: Stream, data: st.DataObject
) -> None:
    """Whoever leaves memory, with messages waiting, changes uncommitted or a crash behind it: no difference."""
    worker, gone = Worker(policy, limits, stream), 0
    while any(worker.left):
        topic = data.draw(st.sampled_from([n for n, left in enumerate(worker.left) if left]))
        worker.read(topic, data.draw(st.sampled_from([1, 2, 5, 30])))
        act = data.draw(st.sampled_from(["go on", "commit", "let go", "let go", "crash"]))
        if act == "commit":
            worker.commit(data.draw(st.sampled_from([1, 500])))
            assert_counted(worker)
        if act == "let go":
            if data.draw(st.booleans()):
                worker.commit(500)
            gone += worker.shard.let_go(0) + worker.shard.let_go(0)
        if act == "crash":
            worker.commit(1, writes=data.draw(st.integers(0, 4)))
    event(f"users left: {min(gone, 5)}")
    worker.finish()
    assert_equal(worker, specified(policy, limits, stream))
    assert_counted(worker)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), st.data())
def test_rows__rest_and_are_stored_without_loss(
    policy: Policy, limits: dict[str, int], data: st.DataObject
) -> None:
    """Any words come back, from rest and from the store, with what the user is remembered by."""
    compiled = compiled_tables(policy, limits)
    users = UserRows(compiled)
    names = [b"u%d" % n for n in range(data.draw(st.integers(1, 6)))]
    rows = np.array([users.row_of(name) for name in names])
    for row in rows:
        draw_user(users, row, limits["allowed_lateness_ms"], data)
    before = [told(users, row) for row in rows]
    stored = pieces(*users.pack(rows))

    users.lay_to_rest(data.draw(some_of(rows)))
    assert pieces(*users.pack(rows)) == stored
    users = users.kept(rows)
    assert pieces(*users.pack(rows)) == stored
    users.put_to_work(np.array([*data.draw(some_of(rows)), -1, *rows, *rows]))
    assert [told(users, row) for row in rows] == before

    again = UserRows(compiled)
    for met in data.draw(some_of(rows)):  # At work, as those who come back are.
        again.row_of(names[met])
    again.restore(names, stored)
    found = np.array([again.row_of(name) for name in names])
    assert [told(again, row) for row in found] == before
    assert again.committed_rung[found].tolist() == users.ranks(rows).astype(np.int8).tolist()


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), st.data())
def test_restore__refuses_a_row_of_another_layout(
    policy: Policy, limits: dict[str, int], data: st.DataObject
) -> None:
    """One wrong fingerprint among many rows is found, and named."""
    users = UserRows(compiled_tables(policy, limits))
    names = [b"u%d" % n for n in range(data.draw(st.integers(1, 4)))]
    stored = pieces(*users.pack(np.array([users.row_of(name) for name in names])))
    assert {fingerprint_of(row) for row in stored} == {users.compiled.layout.fingerprint}
    one = data.draw(st.integers(0, len(names) - 1))
    misread = bytearray(stored[one])
    misread[data.draw(st.integers(0, 7))] ^= 1 << data.draw(st.integers(0, 7))
    stored[one] = bytes(misread)
    with pytest.raises(RowMisread, match=repr(names[one])):
        UserRows(users.compiled).restore(names, stored)


def draw_user(users: UserRows, row: int, lateness_ms: int, data: st.DataObject) -> None:
    """Write any words; half of them as in a blank row, many small, near the newest event, or the first."""
    own, newest_ms = stored_words(users, row), data.draw(st.integers(0, 1 << 41))
    first_ms = data.draw(st.integers(0, newest_ms) | st.just(NONE))
    words = st.one_of(
        st.none(),
        st.none(),
        st.sampled_from([0, -1, INT64.min, INT64.max]),
        st.integers(-200, 200),
        st.integers(newest_ms - 10**10, newest_ms + 10**10),
        st.just(first_ms),
        st.integers(INT64.min, INT64.max),
    )
    for word, drawn in enumerate(data.draw(st.lists(words, min_size=own.size, max_size=own.size))):
        own[word] = own[word] if drawn is None else drawn
    own[IDS_AT : ORDERS_COUNT + 1] = 0
    own[[NEWEST, FIRST_SEEN]] = newest_ms, first_ms
    hashes = st.integers(INT64.min, INT64.max)
    oldest, newest = (-(-time_ms >> ID_TIME_BITS) for time_ms in (newest_ms - lateness_ms, newest_ms))
    times = st.integers(max(oldest, 0), newest) | st.integers(max(oldest, 0), UINT32_MAX)
    ids = data.draw(st.lists(st.tuples(hashes, times), max_size=300))
    orders = data.draw(st.lists(st.tuples(hashes, words, words, words, words), max_size=9))
    flat = [0 if word is None else word for order in orders for word in order]
    users.remember(row, np.array(ids, np.int64).ravel(), np.array(flat, np.int64))


def stored_words(users: UserRows, row: int) -> np.ndarray:
    """Answer the words of a user at work but for his headroom, which rest forgets: he is looked at once more."""
    return users.own(row)[: users.compiled.layout.width]


def told(users: UserRows, row: int) -> list[list[int]]:
    """Answer the words of a user at work but for addresses, and what he is remembered by."""
    own, pool = stored_words(users, row), users.state.pool
    ids = list_ids(users.state, row)
    orders = pool[own[ORDERS_AT] :][: ORDER_WORDS * own[ORDERS_COUNT]]
    words = np.delete(own, [IDS_AT, IDS_CAP, ORDERS_AT, ORDERS_CAP])
    return [words.tolist(), ids.tolist(), orders.tolist()]


def pieces(joined: np.ndarray, start: np.ndarray) -> list[bytes]:
    """Cut joined rows."""
    return [joined[first:last].tobytes() for first, last in pairwise(start.tolist())]


def some_of(rows: np.ndarray) -> st.SearchStrategy[np.ndarray]:
    """Draw some of these rows, each once, in any order."""
    return st.permutations(rows.tolist()).flatmap(
        lambda all_of: st.integers(0, len(all_of)).map(lambda count: np.array(all_of[:count], np.int64))
    )
