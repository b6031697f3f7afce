"""This file reads profiles the way any app may, and stored rows the way `tierwise explain` needs them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sinks import keyspace
from sinks.keyspace import Keyspace
from sinks.redis_client import TIMEOUT_S, open_client


@dataclass(frozen=True, slots=True)
class LadderStanding:
    """Where a user stands on a ladder; the last three are None on the top rung or without a fall ahead."""

    rung: str
    rank: int
    since_ms: int
    score: float
    next_rung: str | None
    points_to_next: float | None
    falls_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as of `as_of_ms`."""

    user_id: str
    as_of_ms: int
    seq: int
    policy: str
    shard: int
    first_seen_ms: int
    last_seen_ms: int
    orders: int
    spend: str
    tags: tuple[str, ...]
    ladders: dict[str, LadderStanding]


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A user's row with what is needed to read it."""

    partition: int
    row: bytes
    policy: dict[str, Any]
    layout: str
    watermark_ms: int | None


class ProfileReader:
    """Read from Redis; any process may, at any time."""

    def __init__(self, url: str, prefix: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._redis: Any = open_client(url, timeout_s)
        self._keys = Keyspace(prefix)

    def profile(self, user_id: str) -> Profile | None:
        """Answer a user's profile; None means unknown, never the lowest rung."""
        return profile_from(user_id, self._redis.hgetall(self._keys.user(user_id)))

    def audience(self, ladder: str, rung: str = "on") -> Iterator[str]:
        """Yield the ids of the users on a rung, or with a tag; moves during the scan may or may not show."""
        for member in self._redis.sscan_iter(self._keys.audience(ladder, rung), count=1_000):
            yield member.decode()

    def stored_row(self, user_id: str) -> StoredRow | None:
        """Answer a user's row, from the same moment as its shard's policy and watermark."""
        owner = self._redis.hget(self._keys.user(user_id), "shard")
        if owner is None:
            return None
        partition = int(owner)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(self._keys.rows(partition), user_id)
            pipeline.hget(self._keys.cold(partition), user_id)
            pipeline.hmget(
                self._keys.meta(partition), [keyspace.POLICY, keyspace.LAYOUT, keyspace.WATERMARK_MS]
            )
            warm, cold, (policy, layout, watermark_ms) = pipeline.execute()
        row = warm or cold
        if row is None or policy is None or layout is None:
            return None
        watermark = None if watermark_ms is None else int(watermark_ms)
        return StoredRow(partition, row, json.loads(policy), layout.decode(), watermark)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def profile_from(user_id: str, stored: dict[bytes, bytes]) -> Profile | None:
    """Read the fields of a profile hash; fields of later versions are passed over."""
    if not stored:
        return None
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    ladders = [name.removesuffix(".rank") for name in fields if name.endswith(".rank")]
    return Profile(
        user_id=user_id,
        as_of_ms=int(fields["as_of_ms"]),
        seq=int(fields["seq"]),
        policy=fields["policy"],
        shard=int(fields["shard"]),
        first_seen_ms=int(fields["first_seen_ms"]),
        last_seen_ms=int(fields["last_seen_ms"]),
        orders=int(fields["orders"]),
        spend=fields["spend"],
        tags=tuple(fields["tags"].split(",")) if fields["tags"] else (),
        ladders={name: _standing(name, fields) for name in ladders},
    )


def _standing(ladder: str, fields: dict[str, str]) -> LadderStanding:
    to_next, falls_at = fields.get(f"{ladder}.to_next"), fields.get(f"{ladder}.falls_at_ms")
    return LadderStanding(
        rung=fields[ladder],
        rank=int(fields[f"{ladder}.rank"]),
        since_ms=int(fields[f"{ladder}.since_ms"]),
        score=float(fields[f"{ladder}.score"]),
        next_rung=fields.get(f"{ladder}.next"),
        points_to_next=None if to_next is None else float(to_next),
        falls_at_ms=None if falls_at is None else int(falls_at),
    )
