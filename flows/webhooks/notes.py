"""What is noted beside an offset. This file writes which changes behind it are open, and how far each one is tried."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NOTE_SIZE_MAX = 4_000
"""What brokers take beside an offset unless they are told otherwise (offset.metadata.max.bytes): 4096 bytes."""
_VERSION = "1"
_HEAD_SIZE = 14


class Tried(NamedTuple):
    """Say how far the plan of a change is; times are Unix milliseconds."""

    attempts: int
    first_try_ms: float
    planned_ms: float


@dataclass(frozen=True, slots=True)
class Note:
    """
    Hold what was noted beside an offset.

    Attributes:
        until: the offset before which all is settled that is not open.
        open: what is not, by offset; how far it is tried, None when it never was.
    """

    until: int
    open: Mapping[int, Tried | None] = field(default_factory=dict)


def write_note(offset: int, end: int, still_open: Iterable[tuple[int, Tried | None]], size_max: int) -> str:
    """
    Note what is open from an offset on; empty when there is nothing to tell.

    What does not fit is left out from the end: it will be delivered again.

    Args:
        end: the offset before which all was read.
        still_open: what is open, in the order of offsets.
    """
    words: list[str] = []
    size, last = _HEAD_SIZE, offset
    for at, tried in still_open:
        word = _word(at - last, tried)
        size += 1 + len(word)
        if size > size_max:
            end = at
            break
        words.append(word)
        last = at
    is_plain = len(words) == end - offset and not any("/" in word for word in words)
    return "" if is_plain or size_max < _HEAD_SIZE else " ".join((_VERSION, str(end - offset), *words))


def read_note(offset: int, text: str | None) -> Note:
    """Read what was noted beside an offset; nothing where it was another program that did."""
    version, *words = (text or "").split(" ")
    if version != _VERSION or not words:
        return Note(offset)
    try:
        found: dict[int, Tried | None] = {}
        at = offset
        for word in words[1:]:
            delta, *tried = word.split("/")
            at += int(delta)
            found[at] = _tried(*tried) if tried else None
        return Note(offset + int(words[0]), found)
    except (TypeError, ValueError):
        return Note(offset)


def _word(delta: int, tried: Tried | None) -> str:
    if tried is None:
        return str(delta)
    times_s = (tried.first_try_ms // 1000, tried.planned_ms // 1000)
    return "/".join((str(delta), str(tried.attempts), *(f"{int(one):x}" for one in times_s)))


def _tried(attempts: str, first: str, planned: str) -> Tried:
    return Tried(int(attempts), 1000.0 * int(first, 16), 1000.0 * int(planned, 16))
