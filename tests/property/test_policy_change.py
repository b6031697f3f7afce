"""This file proves a change of policy against the specification: any two policies, any crash on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy_file import parse_policy, policy_to_document
from flows.load import LayoutRefused, ShardLoader
from scoring.commit_plan import CommitChunk, CommitPlan
from scoring.decoder import Decoder
from scoring.policy import Policy
from sinks.claim import Claim
from sinks.keyspace import Keyspace
from sinks.profile_encoder import ProfileEncoder
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
from tests.strategies import DAY_MS, HOUR_MS, START_MS, Stream, shard_limits, streams, to_json
from tests.strategies_policy_change import policy_changes

PREFIX = "p"


class EncodedStore(MemoryStore):
    """A store that also runs the commands a worker sends to Redis, and knows which policy its rows are of."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, len(TOPICS))
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.sets: dict[bytes, set[bytes]] = {}
        self.stamp: tuple[dict[str, Any], str] | None = None
        self.encoder: ProfileEncoder | None = None

    def claim(self) -> Claim:
        """Tell how the shard stands."""
        policy, layout = self.stamp or (None, None)
        marks = {topic: mark for topic, mark in zip(TOPICS, self.marks, strict=True) if mark is not None}
        return Claim(0, "", 0, {}, marks, self.watermark_ms, self.cold_count, policy, layout)

    def load_rows(self, _claim: Claim, *, is_cold: bool) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Answer all rows of one home, two a page."""
        rows = self.cold if is_cold else self.rows
        users = list(rows)
        for first in range(0, len(users), 2):
            page = users[first : first + 2]
            yield page, [rows[user] for user in page]

    def load_erased(self, _claim: Claim) -> dict[bytes, bytes]:
        """Answer the markers of erased users: none."""
        return {}

    def _write_chunk(self, chunk: CommitChunk) -> None:
        super()._write_chunk(chunk)
        assert self.encoder is not None
        reader = hiredis.Reader()
        reader.feed(bytes(self.encoder.encode(chunk)[0]))
        while (command := reader.gets()) is not False:
            self._run(*command)

    def _run(self, name: bytes, key: bytes, *words: bytes) -> None:
        if name == b"HSET":
            self.hashes.setdefault(key, {}).update(zip(words[::2], words[1::2], strict=True))
        if name == b"HDEL":
            for word in words:
                self.hashes[key].pop(word, None)
        if name == b"SADD":
            self.sets.setdefault(key, set()).update(words)
        if name == b"SREM":
            self.sets.get(key, set()).difference_update(words)


class Worker(ShardDriver):
    """A shard behind its loader and its encoder; it can stop, crash, and start under another policy."""

    def __init__(self, policy: Policy, limits: dict[str, int], stream: Stream) -> None:
        self.limits, self.stream = limits, stream
        self.store = EncodedStore(policy)
        self.consumed = 0
        self.start(policy)

    def start(self, policy: Policy) -> None:
        """Load everything from the store."""
        self.policy = self.store.policy = policy
        self.loader = ShardLoader(
            policy,
            TOPICS,
            allowed_lateness_ms=self.limits["allowed_lateness_ms"],
            out_of_orderness_ms=self.limits["out_of_orderness_ms"],
            duplicates_per_user=self.limits["duplicates_per_user"],
        )
        self.decoder = Decoder(policy, FUTURE_TOLERANCE_MS)
        claim = self.store.claim()
        self.store.encoder = ProfileEncoder(policy, PREFIX, 0, self.loader.former(claim))
        self.shard = self.loader(claim, self.store, lambda: None)  # type: ignore[arg-type]
        self.rewind()

    def commit(self, chunk_users: int = 500, writes: int | None = None) -> None:
        """Write what changed; with `writes` no more than so many of the atomic writes happen."""
        plan = self.shard.take_commit(chunk_users)
        if plan is not None:
            self.write(plan, len(plan.chunks) + 1 if writes is None else writes)

    def write(self, plan: CommitPlan, writes: int) -> None:
        """Write a plan as flows.commit does: the policy with the last write."""
        self.store.write(plan, writes)
        if writes > len(plan.chunks):
            self.store.stamp = policy_to_document(self.policy), self.loader.layout
            self.store.encoder = ProfileEncoder(self.policy, PREFIX, 0)


def specified(old: Policy, new: Policy, limits: dict[str, int], stream: Stream, consumed: int) -> Reference:
    """Run the specification over the stream, with the change behind so many messages."""
    reference = Reference(old, len(TOPICS), future_tolerance_ms=FUTURE_TOLERANCE_MS, **limits)
    messages = reference.order([list(messages) for messages in stream.topics])
    for message in messages[:consumed]:
        reference.message(*message)
    reference.change_policy(new)
    for message in messages[consumed:]:
        reference.message(*message)
    reference.fire(stream.silent_until_ms)
    return reference


def assert_equal(store: EncodedStore, reference: Reference) -> None:
    """Compare what apps read: changes, whole profiles, all audiences."""
    mine, theirs = published(store.changes), by_user(reference.changes)
    assert set(mine) == set(theirs)
    for user_id in theirs:
        assert [change["seq"] for change in mine[user_id]] == list(range(1, len(mine[user_id]) + 1))
        assert_close(mine[user_id], theirs[user_id], f"changes of {user_id}")
    keys = Keyspace(PREFIX)
    assert {key for key in store.hashes if key.startswith(keys.user_prefix)} == {
        keys.user(user_id.encode()) for user_id in reference.users
    }
    for user_id in reference.users:
        profile = {
            name.decode(): value.decode() for name, value in store.hashes[keys.user(user_id.encode())].items()
        }
        assert_close(_typed(profile), _typed(reference.profile(user_id) or {}), f"profile of {user_id}")
    audiences = {key: members for key, members in store.sets.items() if members}
    assert audiences == {
        keys.audience(*audience.split(":")): {user_id.encode() for user_id in members}
        for audience, members in reference.audiences().items()
    }


def _typed(profile: dict[str, str]) -> dict[str, Any]:
    return {
        name: float(value) if name.endswith((".score", ".to_next")) else value
        for name, value in sorted(profile.items())
    }


def run_to_change(old: Policy, limits: dict[str, int], stream: Stream, data: st.DataObject) -> Worker:
    """Let a worker read some of the stream under the old policy and stop cleanly."""
    worker = Worker(old, limits, stream)
    while any(worker.left) and data.draw(st.integers(0, 3)) > 0:
        topic = data.draw(st.sampled_from([n for n, left in enumerate(worker.left) if left]))
        worker.read(topic, data.draw(st.sampled_from([1, 5, 30])))
        if data.draw(st.booleans()):
            worker.commit()
    worker.commit()
    worker.consumed = worker.shard.counters.consumed
    return worker


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(policy_changes(), shard_limits(), streams(), st.data())
def test_policy_change__equals_the_specification(
    change: tuple[Policy, Policy], limits: dict[str, int], stream: Stream, data: st.DataObject
) -> None:
    """Wherever in the stream a policy is changed, changes, profiles and audiences are those specified."""
    old, new = change
    worker = run_to_change(old, limits, stream, data)
    worker.start(new)
    worker.finish()
    assert_equal(worker.store, specified(old, new, limits, stream, worker.consumed))


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(policy_changes(), shard_limits(), streams(), st.data())
def test_policy_change__crash_on_the_way_equals_the_specification(
    change: tuple[Policy, Policy], limits: dict[str, int], stream: Stream, data: st.DataObject
) -> None:
    """A worker that dies between any two writes of the change, again and again, leaves no gap and no repeat."""
    old, new = change
    worker = run_to_change(old, limits, stream, data)
    for _ in range(data.draw(st.integers(1, 3))):
        worker.start(new)
        if any(worker.left) and data.draw(st.booleans()):
            topic = data.draw(st.sampled_from([n for n, left in enumerate(worker.left) if left]))
            worker.read(topic, data.draw(st.sampled_from([1, 5, 30])))
        worker.commit(1, writes=data.draw(st.integers(0, 4)))
    worker.start(new)
    worker.finish()
    assert_equal(worker.store, specified(old, new, limits, stream, worker.consumed))


LIMITS = {"allowed_lateness_ms": 3 * DAY_MS, "out_of_orderness_ms": 0, "duplicates_per_user": 8}
VIEWS = {"views": {"kind": "total", "events": ["view"]}}
OPEN = {"open": {"kind": "since", "events": ["view"], "until": ["buy"]}}


def small_policy(version: int, features: dict[str, Any], lowest: str = "low", enter_at: float = 20) -> Policy:
    """Make a policy with one ladder on its last feature: 25 points a view, or 50 for any age."""
    curve = [[0, 50]] if "open" in features else [[0, 0], [2, 50]]
    rungs = [{"name": lowest}, {"name": "top", "enter_at": enter_at}]
    return parse_policy(
        {
            "policy": "small",
            "version": version,
            "currency": "EUR",
            "events": {"view": {}, "buy": {"order": True}},
            "features": features,
            "scores": {"value": {"parts": {list(features)[-1]: curve}}},
            "ladders": {"tier": {"score": "value", "rungs": rungs}},
        },
        "small",
    )


def small_stream(*events: tuple[int, str, int]) -> Stream:
    """Send events of (topic, type, time) by one user."""
    topics: list[list[tuple[int, bytes | None, int]]] = [[] for _ in TOPICS]
    for number, (topic, kind, time_ms) in enumerate(events):
        event = {"event_id": f"e{number}", "user_id": "u", "type": kind, "event_time": time_ms}
        event |= {"order_id": f"o{number}", "amount": 10} if kind == "buy" else {}
        topics[topic].append((len(topics[topic]), to_json(event), time_ms))
    return Stream(tuple(tuple(messages) for messages in topics), START_MS + DAY_MS)


def test_policy_change__a_remembered_order_ends_a_new_age() -> None:
    """A view that comes late, from before an order that is still remembered, opens nothing."""
    old, new = small_policy(1, VIEWS), small_policy(2, VIEWS | OPEN)
    late = small_stream((0, "view", START_MS), (0, "buy", START_MS + HOUR_MS), (0, "view", START_MS + 1))
    worker = Worker(old, LIMITS, late)
    worker.read(0, 2)
    worker.commit()
    worker.consumed = worker.shard.counters.consumed
    assert worker.consumed == 2
    worker.start(new)
    worker.finish()
    assert_equal(worker.store, specified(old, new, LIMITS, late, worker.consumed))
    assert [change.to_rung for change in worker.store.changes] == ["top", "low"]


def test_policy_change__refuses_rows_of_a_third_policy() -> None:
    """A change that was begun is finished before the next one; rows are never misread."""
    first, second, third = small_policy(1, VIEWS), small_policy(2, VIEWS | OPEN), small_policy(3, VIEWS)
    worker = Worker(first, LIMITS, small_stream((0, "view", START_MS)))
    worker.finish()
    worker.start(second)
    worker.commit(1, writes=1)
    for policy in (third, first):
        with pytest.raises(LayoutRefused, match="start once more under that policy"):
            worker.start(policy)
    worker.start(second)
    worker.commit()
    worker.start(third)
    worker.commit()
    assert [change.policy for change in worker.store.changes] == ["small@1", "small@2", "small@3"]
    assert worker.store.hashes[b"p:user:u"][b"policy"] == b"small@3"


def test_policy_change__a_crash_on_the_way_leaves_nobody_in_two_audiences() -> None:
    """Who was already in a set that only the new policy has leaves that as well when he moves on."""
    old, new = small_policy(1, VIEWS), small_policy(2, VIEWS, lowest="base", enter_at=40)
    views = small_stream((0, "view", START_MS), (0, "view", START_MS + HOUR_MS))
    worker = Worker(old, LIMITS, views)
    worker.read(0, 1)
    worker.commit()
    worker.start(new)
    worker.commit(1, writes=1)
    assert worker.store.sets[b"p:audience:tier:base"] == {b"u"}
    worker.start(new)
    worker.finish()
    assert_equal(worker.store, specified(old, new, LIMITS, views, consumed=1))
    assert worker.store.sets[b"p:audience:tier:top"] == {b"u"}
