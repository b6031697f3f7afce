"""This file turns ladder changes into messages of the change topic: CloudEvents 1.0, binary mode."""

from functools import cache

import msgspec
from msgspec import UNSET, UnsetType

from scoring.events import LadderChange
from sinks.keyspace import points_rounded, time_text
from sinks.outbox import OutboxEntry

CHANGE_TYPE = "tierwise.ladder.changed.v1"
BODY_HEADERS = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))
_FIXED_HEADERS = (BODY_HEADERS[0], ("ce_type", CHANGE_TYPE.encode()), BODY_HEADERS[1])
_encoder = msgspec.json.Encoder()


class _Next(msgspec.Struct):
    rung: str
    points: float


class _Reason(msgspec.Struct, omit_defaults=True):
    feature: str
    value: float | None = None
    points: float | UnsetType = UNSET


class _Document(msgspec.Struct, omit_defaults=True, rename={"from_": "from"}):
    """The message as the contract spells it, key by key in its order; None is left out."""

    user_id: str
    seq: int
    ladder: str
    from_: str
    to: str | None = None
    from_rank: int | UnsetType = UNSET
    to_rank: int | None = None
    direction: str | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    cause_event_id: str | None = None
    score: float | UnsetType = UNSET
    effective_at: str | UnsetType = UNSET
    previous_since: str | UnsetType = UNSET
    next: _Next | None = None
    falls_at: str | None = None
    why: list[_Reason] | UnsetType = UNSET
    policy: str | UnsetType = UNSET


def entry_of(change: LadderChange) -> OutboxEntry:
    """Render one change; the same change always gives the same bytes and the same ce_id."""
    key = change.user_id.encode()
    effective_at = time_text(change.effective_at_ms)
    headers = (
        *_FIXED_HEADERS,
        ("ce_id", b"%b:%d" % (key, change.seq)),
        ("ce_source", source_of(change.policy)),
        ("ce_time", effective_at.encode()),
        ("ce_partitionkey", key),
    )
    return OutboxEntry("change", key, headers, _encoder.encode(_document(change, effective_at)))


def tombstone_of(user_id: bytes) -> OutboxEntry:
    """Say, behind the last changes of an erased user, that a compacted copy shall hold nothing of them."""
    return OutboxEntry("change", user_id, (), None)


@cache
def source_of(policy: str) -> bytes:
    """Name the source of what a policy said, as CloudEvents has it."""
    return f"/tierwise/{policy.rpartition('@')[0]}".encode()


def _document(change: LadderChange, effective_at: str) -> _Document:
    """Spell a change as the contract does; what does not apply is left out."""
    above = change.next_rung
    return _Document(
        user_id=change.user_id,
        seq=change.seq,
        ladder=change.ladder,
        from_=change.from_rung,
        to=change.to_rung,
        from_rank=change.from_rank,
        to_rank=change.to_rank,
        direction=change.direction,
        cause=change.cause,
        cause_event_id=change.cause_event_id,
        score=points_rounded(change.score),
        effective_at=effective_at,
        previous_since=time_text(change.previous_since_ms),
        next=None if above is None else _Next(above, points_rounded(change.next_points or 0.0)),
        falls_at=None if change.falls_at_ms is None else time_text(change.falls_at_ms),
        why=[
            _Reason(feature, None if value is None else points_rounded(value), points_rounded(points))
            for feature, value, points in change.why
        ],
        policy=change.policy,
    )
