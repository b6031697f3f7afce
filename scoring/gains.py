"""This file works out of a policy how many points an event can add to a score at most."""

import math

import numpy as np
from numpy.typing import NDArray

from scoring.policy import Feature, Part, Policy, Score

GAIN_NUMBERS = 3
"""Points; points for each minor unit of money; and what no part that the event touches can exceed."""

ROUNDING = 1e-12
"""More than what thousands of additions can be wrong by, as a share of the numbers added."""


def gains_of(policy: Policy) -> NDArray[np.float64]:
    """
    Answer float64 (types, ladders, GAIN_NUMBERS).

    A part of a sum adds what its feature gains, times the curve's steepest slope. In a maximum the score is, behind the
    event, what it was before or one of the parts that were touched; so no more than their highest points.
    """
    features = {feature.name: feature for feature in policy.features}
    scores = {score.name: score for score in policy.scores}
    gains = np.zeros((len(policy.events), len(policy.ladders), GAIN_NUMBERS))
    for number, event in enumerate(policy.events):
        for place, ladder in enumerate(policy.ladders):
            score = scores[ladder.score]
            parts = [
                (features[part.feature], part)
                for part in score.parts
                if event.name in features[part.feature].events
            ]
            gains[number, place] = _gain(policy, score, parts, event.name)
    return gains


def rounding_of(policy: Policy, score: Score) -> float:
    """Answer by how many points a score may be wrong where curves are steep and far from 0."""
    return ROUNDING * sum(_steepest(part) * max(abs(x) for x, _ in part.curve) for part in score.parts)


def _gain(
    policy: Policy, score: Score, parts: list[tuple[Feature, Part]], event: str
) -> tuple[float, float, float]:
    minor = 10.0**-policy.minor_digits
    points, per_minor = [0.0], [0.0]
    for feature, part in parts:
        if feature.kind == "since":
            points.append(_span(part))
            continue
        weight = feature.weights[feature.events.index(event)] if feature.kind == "decayed" else 1.0
        if feature.of == "amount":
            per_minor.append(_steepest(part) * weight * minor)
        else:
            points.append(_steepest(part) * weight)
    if score.combine == "sum":
        return sum(points), sum(per_minor), math.inf
    return max(points), max(per_minor), max((_highest(part) for _, part in parts), default=-math.inf)


def _steepest(part: Part) -> float:
    """Answer the most points that one more of the feature gives."""
    ends = zip(part.curve, part.curve[1:], strict=False)
    return max((abs((y1 - y0) / (x1 - x0)) for (x0, y0), (x1, y1) in ends), default=0.0)


def _highest(part: Part) -> float:
    return max(0.0, *(y for _, y in part.curve))


def _span(part: Part) -> float:
    """Answer the most points between two values of the feature, of which one may be undefined, which gives 0."""
    return _highest(part) - min(0.0, *(y for _, y in part.curve))
