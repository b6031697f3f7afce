"""This file takes a shard's users from one policy to the next.

What both policies have keeps its words: the user's own, ladders of the same name (rungs by name), features that
are defined alike. New features start empty, new ladders at rung 0. Then each user is judged at his own time.
An order that is still remembered ends a new `since` too: were it not so, a refund of another order would bring
it in.
"""

from collections.abc import Callable

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
    ORDER_TIME,
    ORDER_TYPE,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_CAP,
    ORDERS_COUNT,
    RUNG,
    STALE,
    UNTIL_NOW,
    feature_words,
)
from scoring.row import SINCE as ENTERED
from scoring.row_codec import list_ids
from scoring.shard import Shard
from scoring.tables import PolicyTables

USERS_PER_BEAT = 1_000
LeftRung = tuple[str, int]
"""Name and rank of a rung that the new policy does not have."""


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


def refuse(old: Policy, new: Policy) -> None:
    """
    Let only policies pass that fit together.

    Raises:
        PolicyRefused: they do not.
    """
    if reasons := refusals(old, new):
        raise PolicyRefused("; ".join(reasons))


def migrate(old: Shard, new: Shard, beat: Callable[[], None] = lambda: None) -> None:
    """
    Move every user of `old` into `new` and judge him there; `new` may already hold users that came over before.

    The caller has fired the old policy's deadlines up to the watermark. Changes not yet committed come along.

    Args:
        beat: called now and then, as a sign of life.

    Raises:
        PolicyRefused: the policies do not fit together.
    """
    refuse(old.compiled.policy, new.compiled.policy)
    plan = _RowPlan(old.compiled, new.compiled)
    rows = np.flatnonzero(old.users.seen)
    old.users.put_to_work(rows)
    moved = {row: new.users.row_of(old.users.index.user(row)) for row in rows.tolist()}
    new.adopt(old, moved)
    for count, (row, target) in enumerate(moved.items()):
        old.forget_unreachable_orders(row)
        left = plan.carry(old, row, new, target)
        new.judge_again(target, left)
        if count % USERS_PER_BEAT == 0:
            beat()
    new.users.count_cold()


class _RowPlan:
    """Which words go where."""

    def __init__(self, old: PolicyTables, new: PolicyTables) -> None:
        self._old, self._new = old, new
        self._kept = _kept_features(old.policy, new.policy)
        self._copies = [
            (old.layout.feature_at[n], feature_words(old.policy.features[n]), new.layout.feature_at[m])
            for n, m in self._kept.items()
        ]
        self._ladders = _ladder_copies(old.policy, new.policy)
        numbers = {event.name: n for n, event in enumerate(new.policy.events)}
        self._types = {n: numbers.get(event.name) for n, event in enumerate(old.policy.events)}
        self._ended = [
            (new.layout.feature_at[m], [numbers[name] for name in feature.until])
            for m, feature in enumerate(new.policy.features)
            if feature.until and m not in self._kept.values()
        ]

    def carry(self, old: Shard, row: int, new: Shard, target: int) -> dict[str, LeftRung]:
        """Write the user's words into the new shard; answer the rungs that are gone, by ladder."""
        source = old.users.own(row)
        fresh = self._new.blank_row.copy()
        fresh[: OFFSETS + self._old.layout.topics] = source[: OFFSETS + self._old.layout.topics]
        fresh[[IDS_AT, IDS_CAP, IDS_COUNT, ORDERS_AT, ORDERS_CAP, ORDERS_COUNT, STALE]] = 0
        for first, size, to in self._copies:
            fresh[to : to + size] = source[first : first + size]
        ids, orders = list_ids(old.users.state, row), self._orders(old, source)
        for at, types in self._ended:
            ending = orders[np.isin(orders[:, ORDER_TYPE], types), ORDER_TIME]
            fresh[at + UNTIL_NOW] = ending.max(initial=NONE)
        left = self._carry_ladders(source, fresh)
        new.users.own(target)[:] = fresh
        new.users.remember(target, ids, orders.ravel())
        new.users.committed_rung[target] = self._committed(old, row)
        new.users.committed_home[target] = old.users.committed_home[row]
        return left

    def _carry_ladders(self, source: np.ndarray, fresh: np.ndarray) -> dict[str, LeftRung]:
        for number in range(len(self._new.policy.ladders)):
            fresh[self._new.layout.ladders_at + LADDER_WORDS * number + ENTERED] = source[AS_OF]
        left: dict[str, LeftRung] = {}
        for number, to, ranks in self._ladders:
            was = source[self._old.layout.ladders_at + LADDER_WORDS * number :][:LADDER_WORDS]
            now = fresh[self._new.layout.ladders_at + LADDER_WORDS * to :][:LADDER_WORDS]
            rank = int(was[RUNG])
            if ranks[rank] is None:
                ladder = self._old.policy.ladders[number]
                left[ladder.name] = ladder.rungs[rank].name, rank
            now[RUNG] = ranks[rank] or 0
            now[ENTERED], now[LAST_FALL], now[BELOW_SINCE] = was[ENTERED], was[LAST_FALL], NONE
        return left

    def _committed(self, old: Shard, row: int) -> np.ndarray:
        """Answer the audience of each new ladder that the store holds the user in, -1 for none."""
        committed = np.full(len(self._new.policy.ladders), -1, np.int8)
        for number, to, ranks in self._ladders:
            rank = int(old.users.committed_rung[row, number])
            known = None if rank < 0 else ranks[rank]
            committed[to] = -1 if known is None else known
        return committed

    def _orders(self, old: Shard, source: np.ndarray) -> np.ndarray:
        """Answer the remembered orders, one a row, in the new policy's numbers."""
        pool = old.users.state.pool
        orders = pool[source[ORDERS_AT] : source[ORDERS_AT] + ORDER_WORDS * source[ORDERS_COUNT]].copy()
        orders = orders.reshape(-1, ORDER_WORDS)
        for order in orders:
            counted = int(order[ORDER_MATCH])
            order[ORDER_MATCH] = sum(1 << m for n, m in self._kept.items() if counted >> n & 1)
            if order[ORDER_TYPE] != ORDER_GONE:
                kind = self._types[int(order[ORDER_TYPE])]
                order[ORDER_TYPE] = ORDER_GONE if kind is None else kind
        return orders


def _kept_features(old: Policy, new: Policy) -> dict[int, int]:
    """Number the features that keep what they counted: from old to new."""
    return {
        n: m
        for n, feature in enumerate(old.features)
        for m, other in enumerate(new.features)
        if _same(old, feature, new, other)
    }


def _same(old_policy: Policy, old: Feature, new_policy: Policy, new: Feature) -> bool:
    """Tell whether a feature may keep what it counted: defined alike, and its days begin when they did."""
    local_days = old.kind == "active_days" or (old.kind == "window" and old.bucket_ms % DAY_MS == 0)
    return old == new and (not local_days or old_policy.timezone == new_policy.timezone)


def _ladder_copies(old: Policy, new: Policy) -> list[tuple[int, int, list[int | None]]]:
    """List (ladder, new ladder, new rank of each old rung); None for a rung that is gone."""
    return [
        (number, to, _ranks(ladder, other))
        for number, ladder in enumerate(old.ladders)
        for to, other in enumerate(new.ladders)
        if other.name == ladder.name
    ]


def _ranks(old: Ladder, new: Ladder) -> list[int | None]:
    names = [rung.name for rung in new.rungs]
    return [names.index(rung.name) if rung.name in names else None for rung in old.rungs]
