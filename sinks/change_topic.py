"""This file turns ladder changes into messages of the change topic: CloudEvents 1.0, binary mode."""

from typing import Any

import msgspec

from scoring.events import LadderChange
from sinks.keyspace import points_rounded, time_text
from sinks.outbox import OutboxEntry

CHANGE_TYPE = "tierwise.ladder.changed.v1"
_FIXED_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", CHANGE_TYPE.encode()),
    ("content-type", b"application/json"),
)
_encoder = msgspec.json.Encoder()


def entry_of(change: LadderChange) -> OutboxEntry:
    """Render one change; the same change always gives the same bytes and the same ce_id."""
    key = change.user_id.encode()
    policy_name = change.policy.rpartition("@")[0]
    headers = (
        *_FIXED_HEADERS,
        ("ce_id", b"%b:%d" % (key, change.seq)),
        ("ce_source", f"/tierwise/{policy_name}".encode()),
        ("ce_time", time_text(change.effective_at_ms).encode()),
        ("ce_partitionkey", key),
    )
    return OutboxEntry("change", key, headers, _encoder.encode(_document(change)))


def _document(change: LadderChange) -> dict[str, Any]:
    """Spell a change as the contract does; what does not apply is left out."""
    document: dict[str, Any] = {
        "user_id": change.user_id,
        "seq": change.seq,
        "ladder": change.ladder,
        "from": change.from_rung,
        "to": change.to_rung,
        "from_rank": change.from_rank,
        "to_rank": change.to_rank,
        "direction": change.direction,
        "cause": change.cause,
        "cause_event_id": change.cause_event_id,
        "score": points_rounded(change.score),
        "effective_at": time_text(change.effective_at_ms),
        "previous_since": time_text(change.previous_since_ms),
        "next": _next_rung(change),
        "falls_at": None if change.falls_at_ms is None else time_text(change.falls_at_ms),
        "why": [_reason(*part) for part in change.why],
        "policy": change.policy,
    }
    return {name: value for name, value in document.items() if value is not None}


def _next_rung(change: LadderChange) -> dict[str, Any] | None:
    if change.next_rung is None or change.next_points is None:
        return None
    return {"rung": change.next_rung, "points": points_rounded(change.next_points)}


def _reason(feature: str, value: float | None, points: float) -> dict[str, Any]:
    document: dict[str, Any] = {"feature": feature}
    if value is not None:
        document["value"] = points_rounded(value)
    document["points"] = points_rounded(points)
    return document
