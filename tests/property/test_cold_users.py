"""Users who fall silent leave memory and come back. This file shows that nobody can tell from what comes out."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from scoring.commit_plan import COLD, WARM
from scoring.policy import Policy
from scoring.row import FIRST_SEEN, NONE
from scoring.row_codec import fingerprint_of
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


def assert_counted(worker: Worker) -> None:
    """Compare the counts of a shard with nothing uncommitted with all rows that the store has."""
    store, users = worker.store, worker.shard.users
    assert not store.rows.keys() & store.cold.keys()
    everybody, away = UserRows(worker.compiled), len(store.cold)
    for home, rows in ((COLD, store.cold), (WARM, store.rows)):
        everybody.restore(list(rows), list(rows.values()), home)
    present = everybody.ranks(slice(0, len(everybody)))
    assert users.rung_counts() == counted(worker.compiled.policy, present)
    if away:
        assert store.cold_count is not None
        assert store.cold_count.rungs == counted(worker.compiled.policy, present[:away])
    assert users.cold.away == away - int((users.committed_home[: len(users)] == COLD).sum())
    seen = users.state.rows[: len(users), FIRST_SEEN] != NONE
    assert int(seen.sum()) + users.cold.away == len(everybody)


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


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), st.data())
def test_cold_rows__are_packed_without_loss(
    policy: Policy, limits: dict[str, int], data: st.DataObject
) -> None:
    """Any words come back, packed or not, with what the user is remembered by; a row of another layout does not."""
    compiled = compiled_tables(policy, limits)
    users, again = UserRows(compiled), UserRows(compiled)
    width = users.state.rows.shape[1]
    words = st.one_of(
        st.just(None), st.sampled_from([0, -1, INT64.min, INT64.max]), st.integers(INT64.min, INT64.max)
    )
    names = [b"u%d" % n for n in range(data.draw(st.integers(1, 4)))]
    rows = np.array([users.row_of(name) for name in names])
    for row in rows:
        own = users.state.rows[row]
        for word, drawn in enumerate(data.draw(st.lists(words, min_size=width, max_size=width))):
            own[word] = own[word] if drawn is None else drawn
        own[7:13] = 0
        own[1] = data.draw(st.integers(0, 1 << 40))
        ids = [(n, int(own[1])) for n in range(data.draw(st.integers(0, 9)))]
        orders = data.draw(st.lists(st.tuples(*[st.integers(0, 99)] * 5), max_size=3))
        users.remember(row, np.array(ids, np.int64).ravel(), np.array(orders, np.int64).ravel())
    stored = []
    for row in rows:  # Some packed and some not, as in a store that an earlier version has written.
        one, _ = users.pack(np.array([row]), packed=data.draw(st.booleans()))
        stored.append(one.tobytes())
    assert {fingerprint_of(row) for row in stored} == {users.compiled.layout.fingerprint}
    misread = bytearray(stored[-1])
    misread[3] ^= 1
    with pytest.raises(RowMisread, match=repr(names[-1])):
        UserRows(compiled).restore(names, [*stored[:-1], bytes(misread)])
    again.restore(names, stored)
    for one, other in zip(users.pack(rows, packed=False), again.pack(rows, packed=False), strict=True):
        assert np.array_equal(one, other)
