"""This file takes a shard's users from one policy to the next.

What both policies have keeps its words: the user's own, ladders of the same name (rungs by name), features that
are defined alike. New features start empty, new ladders at rung 0. Then each user is judged at his own time.
"""

import numpy as np

from scoring.policy import Feature, Ladder, Policy
from scoring.row import (
    AS_OF,
    BELOW_SINCE,
    DAY_MS,
    IDS_AT,
    IDS_CAP,
    IDS_COUNT,
    LADDER_WORDS,
    LAST_FALL,
    NONE,
    OFFSETS,
    ORDER_GONE,
    ORDER_MATCH,
    ORDER_TYPE,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
    RUNG,
    STALE,
    Layout,
    feature_words,
)
from scoring.row import SINCE as ENTERED
from scoring.shard import Shard
from scoring.tables import PolicyTables


class PolicyRefused(Exception):
    """The new policy cannot take over what is stored; the message names what stands in the way."""


def refusals(old: Policy, new: Policy) -> list[str]:
    """Name every reason why users cannot be taken from one policy to the other."""
    reasons = []
    if old.currency != new.currency:
        reasons.append(f"currency: stored money is in {old.currency}, the policy says {new.currency}")
    if old.name != new.name:
        reasons.append(
            f"policy: the store holds {old.name}, the settings name {new.name}; use another prefix"
        )
    return reasons


def migrate(old: Shard, new: Shard) -> None:
    """
    Move every user of `old` into `new` and judge him there; `new` may already hold users that came over before.

    The caller has fired the old policy's deadlines up to the watermark. Changes not yet committed come along.

    Raises:
        PolicyRefused: the policies do not fit together.
    """
    reasons = refusals(old.compiled.policy, new.compiled.policy)
    if reasons:
        raise PolicyRefused("; ".join(reasons))
    plan = _RowPlan(old.compiled, new.compiled)
    moved: dict[int, int] = {}
    for row in range(len(old.users)):
        if old.users.exists(row):
            target = new.users.row_of(old.users.index.user(row))
            moved[row] = target
            plan.carry(old, row, new, target)
    new.adopt(old, moved)
    for target in moved.values():
        new.judge_again(target)


class _RowPlan:
    """Which words go where."""

    def __init__(self, old: PolicyTables, new: PolicyTables) -> None:
        self._old, self._new = old, new
        self._copies = list(_feature_copies(old, new))
        self._ladders = list(_ladder_copies(old.policy, new.policy))
        self._match = {
            n: m
            for n, feature in enumerate(old.policy.features)
            for m, other in enumerate(new.policy.features)
            if _same(old.policy, feature, new.policy, other)
        }
        names = {event.name: n for n, event in enumerate(new.policy.events)}
        self._types = {n: names.get(event.name) for n, event in enumerate(old.policy.events)}

    def carry(self, old: Shard, row: int, new: Shard, target: int) -> None:
        source = old.users.state.rows[row]
        fresh = self._new.blank_row.copy()
        fresh[: OFFSETS + self._old.layout.topics] = source[: OFFSETS + self._old.layout.topics]
        fresh[[IDS_AT, IDS_CAP, IDS_COUNT, ORDERS_AT, ORDERS_CAP, ORDERS_COUNT, STALE]] = 0
        for first, size, to in self._copies:
            fresh[to : to + size] = source[first : first + size]
        self._carry_ladders(source, fresh)
        new.users.state.rows[target] = fresh
        ids, orders = self._remembered(old, source)
        new.users.remember(target, ids, orders)
        new.users.committed_rung[target] = self._committed(old, row)

    def _carry_ladders(self, source: np.ndarray, fresh: np.ndarray) -> None:
        for number in range(len(self._new.policy.ladders)):
            fresh[self._new.layout.ladders_at + LADDER_WORDS * number + ENTERED] = source[AS_OF]
        for number, to, ranks in self._ladders:
            was = source[self._old.layout.ladders_at + LADDER_WORDS * number :][:LADDER_WORDS]
            now = fresh[self._new.layout.ladders_at + LADDER_WORDS * to :][:LADDER_WORDS]
            now[RUNG] = ranks[int(was[RUNG])]
            now[ENTERED], now[LAST_FALL], now[BELOW_SINCE] = was[ENTERED], was[LAST_FALL], NONE

    def _committed(self, old: Shard, row: int) -> np.ndarray:
        """Answer the audience of each new ladder that the store holds the user in, -1 for none."""
        committed = np.full(len(self._new.policy.ladders), -1, np.int8)
        for number, to, ranks in self._ladders:
            if old.users.committed_rung[row, number] >= 0:
                committed[to] = ranks[int(old.users.committed_rung[row, number])]
        return committed

    def _remembered(self, old: Shard, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pool = old.users.state.pool
        ids = pool[source[IDS_AT] : source[IDS_AT] + 2 * source[IDS_COUNT]].copy()
        orders = pool[source[ORDERS_AT] : source[ORDERS_AT] + ORDER_WORDS * source[ORDERS_COUNT]].copy()
        for order in orders.reshape(-1, ORDER_WORDS):
            counted = int(order[ORDER_MATCH])
            order[ORDER_MATCH] = sum(1 << m for n, m in self._match.items() if counted >> n & 1)
            if order[ORDER_TYPE] != ORDER_GONE:
                kind = self._types[int(order[ORDER_TYPE])]
                order[ORDER_TYPE] = ORDER_GONE if kind is None else kind
        return ids, orders


def _same(old_policy: Policy, old: Feature, new_policy: Policy, new: Feature) -> bool:
    """Tell whether a feature may keep what it counted: defined alike, and its days begin when they did."""
    local_days = old.kind == "active_days" or (old.kind == "window" and old.bucket_ms % DAY_MS == 0)
    return old == new and (not local_days or old_policy.timezone == new_policy.timezone)


def _feature_copies(old: PolicyTables, new: PolicyTables) -> list[tuple[int, int, int]]:
    """List (from, words, to) of the features that both policies define alike."""
    return [
        (old_at, feature_words(feature), new_at)
        for feature, old_at in _placed(old.policy, old.layout)
        for other, new_at in _placed(new.policy, new.layout)
        if _same(old.policy, feature, new.policy, other)
    ]


def _placed(policy: Policy, layout: Layout) -> list[tuple[Feature, int]]:
    return list(zip(policy.features, layout.feature_at, strict=True))


def _ladder_copies(old: Policy, new: Policy) -> list[tuple[int, int, list[int]]]:
    """List (ladder, new ladder, new rank of each old rung); a rung that is gone becomes the lowest."""
    copies = []
    for number, ladder in enumerate(old.ladders):
        for to, other in enumerate(new.ladders):
            if other.name == ladder.name:
                copies.append((number, to, _ranks(ladder, other)))
    return copies


def _ranks(old: Ladder, new: Ladder) -> list[int]:
    names = [rung.name for rung in new.rungs]
    return [names.index(rung.name) if rung.name in names else 0 for rung in old.rungs]
