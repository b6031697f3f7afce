"""Whether a peer did the same work. This file compares what it stored with what our worker stored."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import redis

SAMPLE = 2_000
SCORE_TOLERANCE = 2e-6
"""Scores are written with six decimals; two sums of the same may round apart."""


class Disagreement(RuntimeError):
    """A peer stored something else; the message shows the first user of whom it did."""


@dataclass(frozen=True)
class Standing:
    """What is compared of one user; None where there is no profile."""

    tier: str | None
    score: float | None
    spend: float | None


def sample(users: int) -> list[str]:
    """Draw users, always the same."""
    return [f"u{number:07d}" for number in random.Random(5).sample(range(users), min(SAMPLE, users))]


def standings(url: str, prefix: str, users: Sequence[str], score_field: str) -> list[Standing]:
    """Read the profiles of these users."""
    with redis.Redis.from_url(url, decode_responses=True) as store:
        pipeline = store.pipeline(transaction=False)
        for user_id in users:
            pipeline.hmget(f"{prefix}:user:{user_id}", "tier", score_field, "spend")
        return [
            Standing(tier, *(None if value is None else float(value) for value in numbers))
            for tier, *numbers in pipeline.execute()
        ]


def compare(ours: Sequence[Standing], theirs: Sequence[Standing], users: Sequence[str]) -> float:
    """Answer the largest difference of two scores; Disagreement when a user stands elsewhere."""
    apart = 0.0
    for user_id, one, other in zip(users, ours, theirs, strict=True):
        if one.score is None or other.score is None:
            difference = 0.0 if one == other else float("inf")
        else:
            difference = abs(one.score - other.score)
        if (one.tier, one.spend) != (other.tier, other.spend) or difference > SCORE_TOLERANCE:
            raise Disagreement(f"{user_id}: {other} where we have {one}")
        apart = max(apart, difference)
    return apart
