"""This file reads profiles the way any app may: no kernel and no dataflow is behind its import."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from sinks.keyspace import Keyspace
from sinks.redis_client import TIMEOUT_S, open_client

STALE_AFTER_MS = 60_000


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
class Answer:
    """
    What the store says of one user.

    Attributes:
        status: `unknown` where no event of the user was applied; `stale` where a fall that stands in the profile
            was due and was not made, so that nobody keeps the profile up.
        profile: None for an unknown user.
        age_ms: how long ago the first such fall was due; 0 unless stale.
    """

    user_id: str
    status: Literal["known", "unknown", "stale"]
    profile: Profile | None = None
    age_ms: int = 0


class ProfileReader:
    """
    Read from Redis; any process may, at any time.

    Args:
        stale_after_ms: how late a fall may be: `watermark.out_of_orderness`, `idle_after` and a commit.

    Raises:
        redis.exceptions.RedisError: the store did not answer. That is not `unknown`: decide what to do then.
    """

    def __init__(
        self, url: str, prefix: str, *, timeout_s: float = TIMEOUT_S, stale_after_ms: int = STALE_AFTER_MS
    ) -> None:
        self._redis: Any = open_client(url, timeout_s)
        self._keys = Keyspace(prefix)
        self._stale_after_ms = stale_after_ms

    def answer(self, user_id: str) -> Answer:
        """Answer what is known of a user, in one round trip."""
        return self.answers([user_id])[0]

    def answers(self, user_ids: Iterable[str], now_ms: int | None = None) -> list[Answer]:
        """
        Answer what is known of each of these users, in their order and in one round trip.

        Each profile is of one moment; two of them need not be of the same.

        Args:
            now_ms: Unix milliseconds to judge by, instead of this machine's clock.
        """
        asked = list(user_ids)
        with self._redis.pipeline(transaction=False) as pipeline:
            for user_id in asked:
                pipeline.hgetall(self._keys.user(user_id))
            replies = pipeline.execute()
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return [
            self._judged(user_id, profile_from(user_id, reply), now_ms)
            for user_id, reply in zip(asked, replies, strict=True)
        ]

    def profile(self, user_id: str) -> Profile | None:
        """Answer a user's profile, stale or not; None means unknown, never the lowest rung."""
        return self.answer(user_id).profile

    def audience(self, ladder: str, rung: str = "on") -> Iterator[str]:
        """Yield the ids of the users on a rung, or with a tag; moves during the scan may or may not show."""
        for member in self._redis.sscan_iter(self._keys.audience(ladder, rung), count=1_000):
            yield member.decode()

    def _judged(self, user_id: str, profile: Profile | None, now_ms: int) -> Answer:
        if profile is None:
            return Answer(user_id, "unknown")
        ahead = [one.falls_at_ms for one in profile.ladders.values() if one.falls_at_ms is not None]
        overdue_ms = now_ms - min(ahead, default=now_ms)
        if overdue_ms > self._stale_after_ms:
            return Answer(user_id, "stale", profile, overdue_ms)
        return Answer(user_id, "known", profile)

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
