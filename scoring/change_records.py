"""This file turns the kernels' record of changes into changes with names."""

from collections.abc import Callable, Sequence

import numpy as np

from scoring.events import LadderChange
from scoring.row import NEVER
from scoring.state import (
    C_CHANGES,
    CAUSES,
    CHANGE_WORDS,
    X_AT,
    X_CAUSE,
    X_EVENT,
    X_FALLS_AT,
    X_FROM,
    X_LADDER,
    X_PREVIOUS_SINCE,
    X_ROW,
    X_SEQ,
    X_TO,
    Changes,
)
from scoring.tables import PolicyTables
from scoring.user_rows import UserRows


class ChangeRecords:
    """Hold the arrays that the kernels write changes to; room for at least one user's at a time."""

    def __init__(self, compiled: PolicyTables) -> None:
        capacity = 4096 + compiled.changes_max
        self.arrays = Changes(
            facts=np.zeros((capacity, CHANGE_WORDS), np.int64),
            score=np.zeros(capacity),
            values=np.zeros((capacity, compiled.parts_max)),
            points=np.zeros((capacity, compiled.parts_max)),
        )
        policy = compiled.policy
        scores = {score.name: score for score in policy.scores}
        self._ladders = [
            (ladder.name, ladder.rungs, [part.feature for part in scores[ladder.score].parts])
            for ladder in policy.ladders
        ]
        self._label = f"{policy.name}@{policy.version}"

    def take(
        self, users: UserRows, cause_event_id: Callable[[int], str | None]
    ) -> list[tuple[int, LadderChange]]:
        """Answer (row, change) in the order they happened, and start over."""
        count = int(users.state.counts[C_CHANGES])
        users.state.counts[C_CHANGES] = 0
        columns = (self.arrays.facts, self.arrays.score, self.arrays.values, self.arrays.points)
        records = zip(*(column[:count].tolist() for column in columns), strict=True)
        return [
            (
                fact[X_ROW],
                self._change(users.index.user(fact[X_ROW]), cause_event_id(fact[X_EVENT]), fact, *numbers),
            )
            for fact, *numbers in records
        ]

    def _change(
        self,
        user_id: bytes,
        cause_event_id: str | None,
        fact: list[int],
        score: float,
        values: list[float],
        points: list[float],
    ) -> LadderChange:
        ladder, rungs, features = self._ladders[fact[X_LADDER]]
        target = fact[X_TO]
        above = rungs[target + 1] if target + 1 < len(rungs) else None
        return LadderChange(
            user_id=user_id.decode(),
            seq=fact[X_SEQ],
            ladder=ladder,
            from_rung=rungs[fact[X_FROM]].name,
            to_rung=rungs[target].name,
            from_rank=fact[X_FROM],
            to_rank=target,
            cause=CAUSES[fact[X_CAUSE]],
            cause_event_id=cause_event_id,
            score=score,
            effective_at_ms=fact[X_AT],
            previous_since_ms=fact[X_PREVIOUS_SINCE],
            next_rung=above.name if above else None,
            next_points=max(0.0, above.enter_at - score) if above else None,
            falls_at_ms=None if fact[X_FALLS_AT] == NEVER else fact[X_FALLS_AT],
            why=reasons(features, values, points),
            policy=self._label,
        )


def reasons(
    features: Sequence[str], values: Sequence[float], points: Sequence[float]
) -> tuple[tuple[str, float | None, float], ...]:
    """Name the parts of a score in policy order; an undefined feature, NaN, has no value."""
    return tuple(
        (feature, None if value != value else value, earned)
        for feature, value, earned in zip(features, values, points, strict=False)
    )
