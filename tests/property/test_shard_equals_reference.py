"""This file proves the shard against the specification that runs: any cut, any commit, any crash."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.decoder import Decoder
from scoring.policy import Policy
from scoring.shard import Shard
from scoring.tables import PolicyTables, compile_policy
from tests.memory_store import MemoryStore
from tests.property.shard_driver import (
    FUTURE_TOLERANCE_MS,
    SLOW,
    TOPICS,
    ShardDriver,
    assert_close,
    by_user,
    published,
)
from tests.reference import Reference
from tests.shop import DAY, LINE, T0, VIEWS, policy_of
from tests.strategies import Stream, policies, shard_limits, streams, to_json


class Worker(ShardDriver):
    """A shard in front of a store, fed in any cuts; a crash forgets all that is not in the store."""

    def __init__(self, policy: Policy, limits: dict[str, int], stream: Stream) -> None:
        self.compiled = compiled_tables(policy, limits)
        self.decoder = Decoder(policy, FUTURE_TOLERANCE_MS)
        self.limits, self.stream = limits, stream
        self.store = MemoryStore(policy, len(TOPICS))
        self.start()

    def start(self) -> None:
        """Load from the store whom time can change."""
        store = self.store
        self.shard = Shard(self.compiled, 0, TOPICS, self.limits["out_of_orderness_ms"])
        self.shard.restore(list(store.rows), list(store.rows.values()))
        self.shard.resume(store.offsets, store.marks, store.watermark_ms, store.cold_count)
        self.rewind()

    def commit(self, chunk_users: int = 500, writes: int | None = None) -> None:
        """Write what changed; with `writes` the worker dies after so many of the atomic writes."""
        plan = self.shard.take_commit(chunk_users)
        if plan is not None:
            self.store.write(plan, len(plan.chunks) + 1 if writes is None else writes)
        if writes is not None:
            self.start()


def compiled_tables(policy: Policy, limits: dict[str, int]) -> PolicyTables:
    """Compile under the limits of a draw."""
    return compile_policy(policy, len(TOPICS), limits["allowed_lateness_ms"], limits["duplicates_per_user"])


def specified(policy: Policy, limits: dict[str, int], stream: Stream) -> Reference:
    """Run the specification over the stream."""
    reference = Reference(policy, len(TOPICS), future_tolerance_ms=FUTURE_TOLERANCE_MS, **limits)
    for message in reference.order([list(messages) for messages in stream.topics]):
        reference.message(*message)
    reference.fire(stream.silent_until_ms)
    return reference


def assert_equal(worker: Worker, reference: Reference) -> None:
    """Compare everything outsiders can see."""
    mine, theirs = published(worker.store.changes), by_user(reference.changes)
    assert set(mine) == set(theirs)
    for user_id in theirs:
        assert_close(mine[user_id], theirs[user_id], f"changes of {user_id}")
    assert set(worker.store.profiles) == set(reference.users)
    for user_id, profile in worker.store.profiles.items():
        expected = reference.profile(user_id)
        assert expected is not None
        for name in ("as_of_ms", "seq", "first_seen_ms", "last_seen_ms", "orders"):
            assert profile[name] == int(expected[name]), (user_id, name, profile, expected)
        assert profile["spend"] == round(float(expected["spend"]) * 10**reference.policy.minor_digits)
        for ladder in reference.policy.ladders:
            standing = profile[ladder.name]
            assert standing["rung"] == ladder.rungs[reference.users[user_id].standings[ladder.name].rung].name
            if not ladder.tag:
                assert_close(
                    standing["score"], float(expected[f"{ladder.name}.score"]), f"{user_id}.{ladder.name}"
                )
                falls_at = expected.get(f"{ladder.name}.falls_at_ms")
                assert standing["falls_at_ms"] == (int(falls_at) if falls_at else None), (
                    user_id,
                    ladder.name,
                )
                assert standing["since_ms"] == int(expected[f"{ladder.name}.since_ms"]), (
                    user_id,
                    ladder.name,
                )
    assert sorted(worker.store.dead_letters) == sorted(
        (reason, TOPICS[topic], offset) for reason, topic, offset in reference.dead_letters
    )


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), streams(), st.data())
def test_shard__any_batch_and_commit_equals_the_specification(
    policy: Policy, limits: dict[str, int], stream: Stream, data: st.DataObject
) -> None:
    """Where a stream is cut into batches, when it is committed and when deadlines are swept changes nothing."""
    worker = Worker(policy, limits, stream)
    while any(worker.left):
        topic = data.draw(st.sampled_from([n for n, left in enumerate(worker.left) if left]))
        worker.read(topic, data.draw(st.sampled_from([1, 2, 5, 30])))
        act = data.draw(st.sampled_from(["go on", "commit", "sweep"]))
        if act == "commit":
            worker.commit(data.draw(st.sampled_from([1, 500])))
        if act == "sweep" and worker.shard.watermark_ms is not None:
            worker.shard.fire(worker.shard.watermark_ms)
    worker.finish()
    assert_equal(worker, specified(policy, limits, stream))


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(st.integers(0, 2**17), st.sampled_from([0, DAY]), st.integers(0, 2**17), st.booleans())
def test_shard__forgets_ids_by_their_time_in_units(
    after_ms: int, lateness_ms: int, later_ms: int, sleeps: bool
) -> None:
    """An id is remembered for the allowed lateness, and up to the next whole 65.536 s; never shorter, never longer."""
    once_ms = T0 + after_ms
    again_ms = once_ms + lateness_ms + later_ms
    policy = policy_of({"views": VIEWS}, {"views": LINE})
    limits = {"allowed_lateness_ms": lateness_ms, "out_of_orderness_ms": 0, "duplicates_per_user": 9}
    told = (("once", once_ms), ("newer", again_ms), ("once", again_ms))
    values = [
        to_json({"event_id": name, "user_id": "u", "type": "view", "event_time": time_ms})
        for name, time_ms in told
    ]
    messages = tuple((n, value, again_ms) for n, value in enumerate(values))
    stream = Stream((messages, ()), again_ms)
    worker = Worker(policy, limits, stream)
    for _ in messages:
        worker.read(0, 1)
        worker.commit()
        if sleeps:
            worker.shard.let_go(0)
    worker.finish()
    specification = specified(policy, limits, stream)
    assert_equal(worker, specification)
    forgotten = -(-once_ms // 2**16) * 2**16 < again_ms - lateness_ms
    assert specification.counters["applied"] == (3 if forgotten else 2)


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(policies(), shard_limits(), streams(), st.data())
def test_shard__crash_and_replay_anywhere_equals_the_specification(
    policy: Policy, limits: dict[str, int], stream: Stream, data: st.DataObject
) -> None:
    """A worker that dies between any two atomic writes and starts over loses nothing and does nothing twice."""
    worker = Worker(policy, limits, stream)
    crashes = 0
    while any(worker.left):
        topic = data.draw(st.sampled_from([n for n, left in enumerate(worker.left) if left]))
        worker.read(topic, data.draw(st.sampled_from([1, 5, 30])))
        if crashes < 4 and data.draw(st.booleans()):
            crashes += 1
            worker.commit(1, writes=data.draw(st.integers(0, 4)))
    worker.finish()
    assert_equal(worker, specified(policy, limits, stream))
