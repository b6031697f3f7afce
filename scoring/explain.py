"""This file tells why a user stands where he stands, and what happens if he does nothing."""

from dataclasses import dataclass

import numpy as np

from scoring.policy import Ladder
from scoring.row import AS_OF, FALLS_AT, FIRST_SEEN, LADDER_WORDS, NEVER, ORDERS, RUNG, SEQ, SPEND
from scoring.row import SINCE as ENTERED
from scoring.shard import Shard
from scoring.step import describe, explain


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of a score: value (None when undefined) and points now, and points at the moment of the fall."""

    feature: str
    value: float | None
    points: float
    points_at_fall: float | None


@dataclass(frozen=True, slots=True)
class LadderView:
    """One ladder of a user; `falls_to` is where the next fall leads if nothing more happens."""

    ladder: str
    tag: bool
    rung: str
    rank: int
    since_ms: int
    score: float
    parts: tuple[PartView, ...]
    next_rung: str | None
    to_next: float | None
    falls_at_ms: int | None
    falls_to: str | None


@dataclass(frozen=True, slots=True)
class UserView:
    """A user at his own time `as_of_ms`."""

    user_id: str
    as_of_ms: int
    seq: int
    first_seen_ms: int
    orders: int
    spend_minor: int
    ladders: tuple[LadderView, ...]


def explain_user(shard: Shard, user_id: bytes) -> UserView:
    """Explain one user of a shard that holds him; the shard must not be used afterwards (time is run ahead in it)."""
    users = shard.users
    row = users.row_of(user_id)
    assert users.exists(row), user_id
    scores = np.empty((1, len(shard.compiled.policy.ladders)))
    describe(shard.compiled.tables, users.state, np.array([row]), scores)
    words = users.own(row).tolist()
    falls = _next_falls(shard, words)
    at = shard.compiled.layout.ladders_at
    views = []
    for number, ladder in enumerate(shard.compiled.policy.ladders):
        own = words[at + LADDER_WORDS * number : at + LADDER_WORDS * (number + 1)]
        parts = _parts(shard, row, number, words[AS_OF], own[FALLS_AT])
        views.append(_ladder_view(ladder, own, float(scores[0, number]), parts, falls.get(ladder.name)))
    return UserView(
        user_id=user_id.decode(),
        as_of_ms=words[AS_OF],
        seq=words[SEQ],
        first_seen_ms=words[FIRST_SEEN],
        orders=words[ORDERS],
        spend_minor=words[SPEND],
        ladders=tuple(views),
    )


def _parts(shard: Shard, row: int, number: int, as_of_ms: int, falls_at_ms: int) -> tuple[PartView, ...]:
    policy, parts_max = shard.compiled.policy, shard.compiled.parts_max
    score = next(score for score in policy.scores if score.name == policy.ladders[number].score)
    values, points = np.zeros(parts_max), np.zeros(parts_max)
    later, fallen = np.zeros(parts_max), np.zeros(parts_max)
    explain(shard.compiled.tables, shard.users.state, row, number, as_of_ms, values, points)
    if falls_at_ms != NEVER:
        explain(shard.compiled.tables, shard.users.state, row, number, falls_at_ms, later, fallen)
    return tuple(
        PartView(
            feature=part.feature,
            value=None if np.isnan(values[n]) else float(values[n]),
            points=float(points[n]),
            points_at_fall=None if falls_at_ms == NEVER else float(fallen[n]),
        )
        for n, part in enumerate(score.parts)
    )


def _next_falls(shard: Shard, words: list[int]) -> dict[str, str]:
    """Run a copy of time ahead: where each ladder's next fall leads."""
    at = shard.compiled.layout.ladders_at + FALLS_AT
    falls = [words[at + LADDER_WORDS * n] for n in range(len(shard.compiled.policy.ladders))]
    latest = max((fall for fall in falls if fall != NEVER), default=None)
    if latest is None:
        return {}
    kept = shard.users.state.rows.copy(), shard.users.state.due.copy()
    shard.fire(latest)
    first: dict[str, str] = {}
    for _, change in shard.changes:
        first.setdefault(change.ladder, str(change.to_rung))
    shard.users.state.rows[:], shard.users.state.due[:] = kept
    return first


def _ladder_view(
    ladder: Ladder, own: list[int], score: float, parts: tuple[PartView, ...], falls_to: str | None
) -> LadderView:
    rank = own[RUNG]
    above = ladder.rungs[rank + 1] if rank + 1 < len(ladder.rungs) else None
    falls_at_ms = None if own[FALLS_AT] == NEVER else own[FALLS_AT]
    return LadderView(
        ladder=ladder.name,
        tag=ladder.tag,
        rung=ladder.rungs[rank].name,
        rank=rank,
        since_ms=own[ENTERED],
        score=score,
        parts=parts,
        next_rung=above.name if above else None,
        to_next=max(0.0, above.enter_at - score) if above else None,
        falls_at_ms=falls_at_ms,
        falls_to=falls_to if falls_at_ms is not None else None,
    )
