"""This file holds the nouns that travel: what an input batch, a set-aside message and a ladder change are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int8s = npt.NDArray[np.int8]
Int16s = npt.NDArray[np.int16]
Int64s = npt.NDArray[np.int64]

DECODED = 0  # The fate of a message that is no dead letter; every other fate is a Reason.
IGNORED_TYPE = -1
TEXT_SLACK = 8
"""So many bytes stand behind texts that kernels read a word at a time."""


class Reason(IntEnum):
    """Say why a message was set aside: the closed list of the contract, in the order of checking."""

    TOO_LARGE = 1
    NOT_JSON = 2
    MISSING_FIELD = 3
    WRONG_TYPE = 4
    OUT_OF_RANGE = 5
    FROM_THE_FUTURE = 6
    TOO_LATE = 7
    UNKNOWN_ORDER = 8

    @property
    def label(self) -> str:
        """Give the reason as headers and metrics spell it, `too_large`."""
        return self.name.lower()


class Envelope(NamedTuple):
    """Hold what a message has around its value: its key, and how often it was replayed before."""

    key: bytes | None = None
    attempt: int = 0


BARE = Envelope()

EnvelopeOf = Callable[[int], Envelope]
"""Answer the envelope of a batch's row. Asked for dead letters only: reading it costs more than decoding."""


def bare(_row: int) -> Envelope:
    """Answer the envelope of a message that has nothing around its value."""
    return BARE


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Hold an input message that was set aside, with its original bytes (a tombstone has none)."""

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    value: bytes
    envelope: Envelope = BARE


class TextSpans(NamedTuple):
    """
    Hold N texts without copying them.

    Attributes:
        text: text n is text[at[n]:at[n] + size[n]] ...
        extra: ... or, where at[n] is negative, extra[-1 - at[n]:] up to the same size. Both go on for TEXT_SLACK bytes.
    """

    text: Bytes
    extra: Bytes
    at: Int64s
    size: Int64s

    def read(self, index: int) -> bytes:
        """Answer one text."""
        at, size = int(self.at[index]), int(self.size[index])
        source, first = (self.text, at) if at >= 0 else (self.extra, -1 - at)
        return source[first : first + size].tobytes()


@dataclass(slots=True)
class EventBatch:
    """
    Hold N messages of one topic partition as columns, in offset order.

    A row whose `fate` is not 0 is dead: its other columns are zero (type -1) and its user is empty.

    Attributes:
        topic: index in the order of settings.
        values: original bytes, None for a tombstone.
        details: what was wrong with each dead row, by row.
        envelope_of: what each message has around its value.
        fate: 0 decoded, else the Reason.
        type: index into policy.events, -1 for a type the policy does not score (still fully checked).
        event_id_hash, order_id_hash: scoring/hashing.py; 0 when there is none.
        amount_minor: money in minor units, 0 when absent.
        match: bit f is set when feature f of the policy counts this event: type and every `where` hold.
        users: where each user stands, UTF-8, of size 0 when the row is dead; user_hash: scoring/hashing.py.
        event_ids: where each event's id stands, of size 0 when the row is dead.
    """

    partition: int
    topic: int
    values: Sequence[bytes | None]
    details: dict[int, str]
    envelope_of: EnvelopeOf
    offset: Int64s
    ingest_time_ms: Int64s
    fate: Int8s
    type: Int16s
    event_time_ms: Int64s
    event_id_hash: Int64s
    order_id_hash: Int64s
    amount_minor: Int64s
    match: Int64s
    users: TextSpans
    user_hash: Int64s
    event_ids: TextSpans

    def __len__(self) -> int:
        return int(self.offset.shape[0])

    def user(self, index: int) -> bytes:
        """Give the UTF-8 bytes of the user of one row, empty when the row is dead."""
        return self.users.read(index)


class LadderChange(msgspec.Struct, frozen=True):
    """
    Hold one move of one user on one ladder, as the change topic publishes it.

    `to_rung` is None when the user was erased. `why` lists (feature, value or None when undefined, points)
    of all parts in policy order; `policy` is the label, `ecommerce@1`.
    """

    user_id: str
    seq: int
    ladder: str
    from_rung: str
    to_rung: str | None
    from_rank: int
    to_rank: int | None
    cause: str
    cause_event_id: str | None
    score: float
    effective_at_ms: int
    previous_since_ms: int
    next_rung: str | None
    next_points: float | None
    falls_at_ms: int | None
    why: tuple[tuple[str, float | None, float], ...]
    policy: str

    @property
    def direction(self) -> Literal["up", "down"]:
        """Tell whether the user rose or fell; an erased user fell off the ladder."""
        return "up" if self.to_rank is not None and self.to_rank > self.from_rank else "down"
