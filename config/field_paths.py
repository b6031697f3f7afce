"""This file holds how a field map names a place in a message: `properties.products[0].sku`."""

import re
from typing import NamedTuple

MESSAGE_TIME = "message:time"
"""Kafka's time of the message, in place of a path."""
MESSAGE_HASH = "message:hash"
"""A hash of the message's bytes, in place of a path."""

_PART = re.compile(
    r"\.(?P<name>[^.\[\]=]+)"
    r"|\['(?P<quoted>[^']+)'\]"
    r"|\[(?P<index>[0-9]{1,4})\]"
    r"|\[(?P<key>[^.\[\]='\"]+)=(?P<value>[^\[\]]+)\]"
)


class Member(NamedTuple):
    """Choose the first object of a list that has this text under this key."""

    key: str
    value: str


Step = str | int | Member


def parse_path(text: str) -> tuple[Step, ...]:
    """
    Read `a.b`, `a['b.c']`, `a[0]` and `a[key=total].b`.

    Raises:
        ValueError: it is none of these.
    """
    steps: list[Step] = []
    rest = text if text.startswith("[") else f".{text}"
    while found := _PART.match(rest):
        steps.append(_step(found))
        rest = rest[found.end() :]
    if rest or not steps:
        raise ValueError(f"must be a path such as a.b, a[0].b, a['b.c'] or a[key=total].b, got {text!r}")
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["index"]:
        return int(found["index"])
    if found["key"]:
        return Member(found["key"], found["value"])
    return found["name"] or found["quoted"]
