"""This file makes the last changes of a user who is erased."""

from scoring.events import LadderChange
from scoring.policy import Policy
from scoring.row import AS_OF, LADDER_WORDS, RUNG, SEQ, SINCE
from scoring.user_rows import UserRows


def farewell(policy: Policy, users: UserRows, row: int, watermark_ms: int) -> list[LadderChange]:
    """
    Answer one change without a rung to go to for every ladder and for every tag that is on, in policy order.

    They say where the user was and nothing that was known about them: no score, no reason.
    """
    own, ladders_at = users.state.rows[row].tolist(), users.compiled.layout.ladders_at
    words = [ladders_at + LADDER_WORDS * number for number in range(len(policy.ladders))]
    left = [(one, at) for one, at in zip(policy.ladders, words, strict=True) if not one.tag or own[at + RUNG]]
    return [
        LadderChange(
            user_id=users.index.user(row).decode(),
            seq=own[SEQ] + number,
            ladder=ladder.name,
            from_rung=ladder.rungs[own[at + RUNG]].name,
            to_rung=None,
            from_rank=own[at + RUNG],
            to_rank=None,
            cause="erase",
            cause_event_id=None,
            score=None,
            effective_at_ms=max(own[AS_OF], watermark_ms),
            previous_since_ms=own[at + SINCE],
            next_rung=None,
            next_points=None,
            falls_at_ms=None,
            why=(),
            policy=policy.label,
        )
        for number, (ladder, at) in enumerate(left, start=1)
    ]
