"""This file finds what stands at a path of a JSON document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config.field_paths import Member, Step
from scoring.wire import shown


@dataclass(frozen=True, slots=True)
class Broken:
    """Stand for what cannot be read, with the rule it breaks: `properties: must be an object, got 'x'`."""

    rule: str


def find(document: Any, steps: Sequence[Step]) -> Any:
    """Answer what stands at a path, None where it ends early; Broken where the way leads through no container."""
    here = document
    for number, step in enumerate(steps):
        if here is None or isinstance(here, Broken):
            return here
        if not isinstance(here, dict if isinstance(step, str) else list):
            wanted = "an object" if isinstance(step, str) else "an array"
            return Broken(f"{path_text(steps[:number])}: must be {wanted}, got {shown(here)}")
        here = _stepped(here, step)
    return here


def _stepped(here: Any, step: Step) -> Any:
    if isinstance(step, str):
        return here.get(step)
    if isinstance(step, int):
        return here[step] if step < len(here) else None
    return _member(here, step)


def _member(members: list[Any], wanted: Member) -> Any:
    return next(
        (one for one in members if isinstance(one, dict) and one.get(wanted.key) == wanted.value), None
    )


def path_text(steps: Sequence[Step]) -> str:
    """Write a path for people."""
    text = ""
    for step in steps:
        if isinstance(step, str):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]" if isinstance(step, int) else f"[{step.key}={step.value}]"
    return text or "value"
