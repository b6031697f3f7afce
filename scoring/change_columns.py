"""This file holds ladder changes as columns, from the kernels that make them to the one that renders them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from scoring.events import Bytes, Int64s, LadderChange
from scoring.policy import Ladder, Policy
from scoring.row import NEVER
from scoring.state import (
    CAUSES,
    X_AT,
    X_CAUSE,
    X_FALLS_AT,
    X_FROM,
    X_LADDER,
    X_PREVIOUS_SINCE,
    X_SEQ,
    X_TO,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LadderNames:
    """What the numbers of a change mean on one ladder."""

    ladder: Ladder
    features: tuple[str, ...]


def names_of(policy: Policy) -> tuple[LadderNames, ...]:
    """Answer the names of every ladder, in policy order."""
    scores = {score.name: score for score in policy.scores}
    return tuple(
        LadderNames(ladder, tuple(part.feature for part in scores[ladder.score].parts))
        for ladder in policy.ladders
    )


@dataclass(frozen=True, slots=True, eq=False)
class ChangeColumns(Sequence[LadderChange]):
    """
    Hold N changes; each is made an object only when it is asked for.

    Attributes:
        policy: its label, `ecommerce@1`; names: of its ladders.
        facts: int64 (n, CHANGE_WORDS), see scoring/state.py. Columns of rows and messages mean nothing here.
        score: (n); values, points: (n, parts), NaN is a value that is undefined.
        user_bytes, user_start: id n is user_bytes[user_start[n]:user_start[n + 1]].
        cause_bytes, cause_start: likewise the id of the event that caused it, empty for none.
    """

    policy: str
    names: tuple[LadderNames, ...]
    facts: Int64s
    score: Floats
    values: Floats
    points: Floats
    user_bytes: Bytes
    user_start: Int64s
    cause_bytes: Bytes
    cause_start: Int64s

    def __len__(self) -> int:
        return int(self.score.shape[0])

    @overload
    def __getitem__(self, at: int) -> LadderChange: ...
    @overload
    def __getitem__(self, at: slice) -> ChangeColumns: ...
    def __getitem__(self, at: int | slice) -> LadderChange | ChangeColumns:
        if isinstance(at, slice):
            first, last, step = at.indices(len(self))
            assert step == 1, at
            rows, ids = slice(first, last), slice(first, max(first, last) + 1)
            columns = (self.facts[rows], self.score[rows], self.values[rows], self.points[rows])
            users, causes = (self.user_bytes, self.user_start[ids]), (self.cause_bytes, self.cause_start[ids])
            return ChangeColumns(self.policy, self.names, *columns, *users, *causes)
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        return self._change(at % len(self))

    def __iter__(self) -> Iterator[LadderChange]:
        return map(self._change, range(len(self)))

    def user(self, n: int) -> bytes:
        """Answer whose change it is."""
        return self.user_bytes[self.user_start[n] : self.user_start[n + 1]].tobytes()

    def _change(self, n: int) -> LadderChange:
        fact = self.facts[n].tolist()
        names, target, score = self.names[fact[X_LADDER]], fact[X_TO], float(self.score[n])
        rungs = names.ladder.rungs
        above = rungs[target + 1] if target + 1 < len(rungs) else None
        cause_event_id = self.cause_bytes[self.cause_start[n] : self.cause_start[n + 1]].tobytes()
        return LadderChange(
            user_id=self.user(n).decode(),
            seq=fact[X_SEQ],
            ladder=names.ladder.name,
            from_rung=rungs[fact[X_FROM]].name,
            to_rung=rungs[target].name,
            from_rank=fact[X_FROM],
            to_rank=target,
            cause=CAUSES[fact[X_CAUSE]],
            cause_event_id=cause_event_id.decode() or None,
            score=score,
            effective_at_ms=fact[X_AT],
            previous_since_ms=fact[X_PREVIOUS_SINCE],
            next_rung=above.name if above else None,
            next_points=max(0.0, above.enter_at - score) if above else None,
            falls_at_ms=None if fact[X_FALLS_AT] == NEVER else fact[X_FALLS_AT],
            why=reasons(names.features, self.values[n].tolist(), self.points[n].tolist()),
            policy=self.policy,
        )


def reasons(
    features: Sequence[str], values: Sequence[float], points: Sequence[float]
) -> tuple[tuple[str, float | None, float], ...]:
    """Name the parts of a score in policy order; an undefined feature, NaN, has no value."""
    return tuple(
        (feature, None if value != value else value, earned)
        for feature, value, earned in zip(features, values, points, strict=False)
    )
