"""This file counts changes by what happened: ladder, direction, cause, and the rungs left and reached."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scoring.change_columns import ChangeColumns
from scoring.events import LadderChange
from scoring.state import CAUSES, X_CAUSE, X_FROM, X_LADDER, X_TO


class ChangeKind(NamedTuple):
    """Say what happened; who is erased reaches no rung, ""."""

    ladder: str
    direction: str
    cause: str
    left: str
    reached: str


def kinds_of(parts: Iterable[Sequence[LadderChange]]) -> Counter[ChangeKind]:
    """Count the kinds of many changes without making an object of each that is still in columns."""
    kinds: Counter[ChangeKind] = Counter()
    columns = []
    for part in parts:
        if isinstance(part, ChangeColumns):
            columns.append(part)
        else:
            kinds.update(map(_kind, part))
    if columns:  # All of one plan, so of one policy.
        facts = np.concatenate([part.facts for part in columns])
        for (ladder, cause, left, reached), count in _counted(facts):
            names = columns[0].names[ladder].ladder
            direction = "up" if reached > left else "down"
            rungs = names.rungs[left].name, names.rungs[reached].name
            kinds[ChangeKind(names.name, direction, CAUSES[cause], *rungs)] += count
    return kinds


def _counted(facts: np.ndarray) -> Iterator[tuple[list[int], int]]:
    base = 1 << 8  # More than there are ladders, causes or rungs.
    code = (
        (facts[:, X_LADDER] * base + facts[:, X_CAUSE]) * base * base
        + facts[:, X_FROM] * base
        + facts[:, X_TO]
    )
    codes, counts = np.unique(code, return_counts=True)
    for one, count in zip(codes.tolist(), counts.tolist(), strict=True):
        yield [one >> 24, one >> 16 & 255, one >> 8 & 255, one & 255], count


def _kind(change: LadderChange) -> ChangeKind:
    return ChangeKind(change.ladder, change.direction, change.cause, change.from_rung, change.to_rung or "")
