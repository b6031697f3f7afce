"""This file turns a profile into a message of the profile topic: CloudEvents 1.0, binary mode, newest per key."""

import msgspec

from sinks.change_topic import BODY_HEADERS, source_of
from sinks.keyspace import time_text
from sinks.profile_reader import LadderStanding, Profile

PROFILE_TYPE = "tierwise.profile.v1"
_encoder = msgspec.json.Encoder()


class _Next(msgspec.Struct):
    rung: str
    points: float


class _Ladder(msgspec.Struct, omit_defaults=True):
    rung: str
    rank: int
    since: str
    score: float
    next: _Next | None = None
    falls_at: str | None = None


class _Document(msgspec.Struct):
    """The message as the contract spells it, key by key in its order."""

    user_id: str
    seq: int
    as_of: str
    policy: str
    first_seen: str
    last_seen: str
    orders: int
    spend: str
    tags: tuple[str, ...]
    ladders: dict[str, _Ladder]


def message_of(profile: Profile) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
    """Render value and headers."""
    document = _Document(
        user_id=profile.user_id,
        seq=profile.seq,
        as_of=time_text(profile.as_of_ms),
        policy=profile.policy,
        first_seen=time_text(profile.first_seen_ms),
        last_seen=time_text(profile.last_seen_ms),
        orders=profile.orders,
        spend=profile.spend,
        tags=profile.tags,
        ladders={name: _ladder(one) for name, one in profile.ladders.items()},
    )
    headers: list[tuple[str, str | bytes | None]] = [
        *BODY_HEADERS,
        ("ce_type", PROFILE_TYPE.encode()),
        ("ce_id", f"{profile.user_id}:{profile.seq}".encode()),
        ("ce_source", source_of(profile.policy)),
        ("ce_time", document.as_of.encode()),
        ("ce_partitionkey", profile.user_id.encode()),
    ]
    return _encoder.encode(document), headers


def _ladder(standing: LadderStanding) -> _Ladder:
    above, falls_at_ms = standing.next_rung, standing.falls_at_ms
    return _Ladder(
        rung=standing.rung,
        rank=standing.rank,
        since=time_text(standing.since_ms),
        score=standing.score,
        next=None if above is None else _Next(above, standing.points_to_next or 0.0),
        falls_at=None if falls_at_ms is None else time_text(falls_at_ms),
    )
