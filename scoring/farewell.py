"""This file makes the last changes of a user who is erased."""

import numpy as np

from scoring.change_columns import reasons
from scoring.events import LadderChange
from scoring.row import AS_OF, LADDER_WORDS, RUNG, SEQ, SINCE
from scoring.step import explain
from scoring.user_rows import UserRows


def farewell(users: UserRows, row: int, watermark_ms: int) -> list[LadderChange]:
    """Answer one change without a rung to go to for every ladder and for every tag that is on, in policy order."""
    compiled, policy = users.compiled, users.compiled.policy
    scores = {score.name: score for score in policy.scores}
    own = users.own(row).tolist()
    at_ms = max(own[AS_OF], watermark_ms)
    changes: list[LadderChange] = []
    for number, ladder in enumerate(policy.ladders):
        at = compiled.layout.ladders_at + LADDER_WORDS * number
        rank, score = own[at + RUNG], scores[ladder.score]
        if ladder.tag and rank == 0:
            continue
        values, points = np.zeros(compiled.parts_max), np.zeros(compiled.parts_max)
        explain(compiled.tables, users.state, row, number, at_ms, values, points)
        why = reasons([part.feature for part in score.parts], values.tolist(), points.tolist())
        earned = [part_points for _, _, part_points in why]
        changes.append(
            LadderChange(
                user_id=users.index.user(row).decode(),
                seq=own[SEQ] + len(changes) + 1,
                ladder=ladder.name,
                from_rung=ladder.rungs[rank].name,
                to_rung=None,
                from_rank=rank,
                to_rank=None,
                cause="erase",
                cause_event_id=None,
                score=sum(earned) if score.combine == "sum" else max(earned),
                effective_at_ms=at_ms,
                previous_since_ms=own[at + SINCE],
                next_rung=None,
                next_points=None,
                falls_at_ms=None,
                why=why,
                policy=policy.label,
            )
        )
    return changes
