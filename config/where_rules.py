"""This file holds the rules of `where`: which conditions a feature has for the events it counts."""

from typing import Literal, cast

from config.draft import Draft
from config.problems import PathPart, shown
from scoring.match import TEXT_FIELDS
from scoring.policy import Where
from scoring.wire_values import rfc3339_ms

Path = tuple[PathPart, ...]


def read_where(draft: Draft, path: Path) -> tuple[Where, ...]:
    """Answer the conditions of the feature at a path; all must hold."""
    read = (_read_condition(draft, (*path, "where", field)) for field in draft.keys(*path, "where"))
    return tuple(condition for condition in read if condition is not None)


def _read_condition(draft: Draft, path: Path) -> Where | None:
    value = draft.value(*path)
    field = str(path[-1])
    if value is None:
        return None
    if value in ("present", "absent"):
        return Where(field, cast(Literal["present", "absent"], value))
    if field in TEXT_FIELDS:
        return Where(field, "in", values=tuple(value) if isinstance(value, list) else (value,))
    number = _time_ms if field == "item_launch_at" else Draft.number_or_seconds
    if isinstance(value, list):
        return Where(field, "in", values=tuple(number(draft, *path, at) for at in range(len(value))))
    if isinstance(value, dict):
        minimum, maximum = (number(draft, *path, end) if end in value else None for end in ("min", "max"))
        if minimum is not None and maximum is not None and minimum > maximum:
            draft.report((*path, "min"), f"must not be above max ({maximum}), got {minimum}")
        return Where(field, "between", minimum=minimum, maximum=maximum)
    exact = number(draft, *path)
    return Where(field, "between", minimum=exact, maximum=exact)


def _time_ms(draft: Draft, *path: PathPart) -> float:
    """Answer the time at a path, which is written as in events, in Unix milliseconds."""
    value: float | str = draft.value(*path)
    time_ms = rfc3339_ms(value) if isinstance(value, str) else value
    if time_ms is None:
        draft.report(path, f"must be a time such as 2026-09-01T00:00:00Z, got {shown(value)}")
    return float(time_ms or 0)
