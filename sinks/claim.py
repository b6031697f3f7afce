"""This file holds a claim of a shard, as the store answers it, and what speaks against a write under it."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scoring.commit_plan import ColdCount
from sinks import keyspace
from sinks.cold_count import cold_from
from sinks.errors import StoreFenced, StoreRolledBack
from sinks.shard_link import Guard

# Each rebalance takes one; a store that goes back further looks like another owner's.
_EARLIER_TOKENS_MAX = 256
_SALT_BYTES = 16


@dataclass(slots=True)
class Claim:
    """
    A shard as it was found when we took it, and the number of our last write to it.

    Attributes:
        number: rises with every write; only the store changes it.
        offsets: next offset to read, by topic; a topic never read is absent.
        marks: high-water mark in ms, by topic.
        cold: the users whose rows are apart; None where there was none yet.
        policy: document of the policy the rows were scored under; None for a new shard.
        layout: fingerprint of the rows' layout; None for a new shard.
        tails: where the outbox had been published to, by output partition.
        partitions: how many each input topic had when it was last written; None for a new shard.
        topic_ids: id of the topic that the offsets are of, by its name; a topic without an id is absent.
        salt: secret under which the ids of erased users are hashed.
        restore_refusal: why the store takes no profile in one piece (see hash_dump); None where it does.
        earlier_tokens: of the claims before this one. Meeting one of them again means that the store was
            rolled back, not that somebody else took the shard.
    """

    partition: int
    token: str
    number: int
    offsets: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    watermark_ms: int | None = None
    cold: ColdCount | None = None
    policy: dict[str, Any] | None = None
    layout: str | None = None
    tails: dict[str, int] = field(default_factory=dict)
    partitions: int | None = None
    topic_ids: dict[str, str] = field(default_factory=dict)
    salt: bytes = b""
    restore_refusal: str | None = None
    earlier_tokens: tuple[str, ...] = ()


def refuse_other_state(claim: Claim, guard: Guard) -> None:
    """Compare for equality: with >= a store that was rolled back would admit a worker that is ahead of it."""
    refuse_older_state(claim, guard, claim.number)
    if guard.number != claim.number:
        raise StoreRolledBack(_behind(claim, claim.number, guard))


def refuse_older_state(claim: Claim, guard: Guard, number: int) -> None:
    """Refuse a store that is not ours, or has lost a write of ours."""
    name = f"shard {claim.partition:02d}"
    if guard.token is None or guard.token in claim.earlier_tokens:
        raise StoreRolledBack(f"{name}: the store has lost our claim; it was rolled back")
    if guard.token != claim.token:
        raise StoreFenced(f"{name}: claimed by another worker")
    if guard.number < number:
        raise StoreRolledBack(_behind(claim, number, guard))


def _behind(claim: Claim, number: int, guard: Guard) -> str:
    return f"shard {claim.partition:02d}: our last write was number {number}, the store has {guard.number}"


def claim_from(partition: int, token: str, found: dict[bytes, bytes], topics: Sequence[str]) -> Claim:
    """Read a claim from what the meta hash held when we took it."""

    def by_topic(field_prefix: bytes) -> dict[str, bytes]:
        named = {topic: found.get(field_prefix + topic.encode()) for topic in topics}
        return {topic: value for topic, value in named.items() if value is not None}

    def numbers(field_prefix: bytes) -> dict[str, int]:
        return {topic: int(value) for topic, value in by_topic(field_prefix).items()}

    watermark_ms, policy, layout = (
        found.get(name) for name in (keyspace.WATERMARK_MS, keyspace.POLICY, keyspace.LAYOUT)
    )
    earlier = [found[keyspace.TOKEN].decode()] if keyspace.TOKEN in found else []
    earlier += found.get(keyspace.EARLIER_TOKENS, b"").decode().split()
    return Claim(
        partition=partition,
        token=token,
        number=int(found.get(keyspace.NUMBER, 0)),
        offsets=numbers(keyspace.OFFSET),
        marks=numbers(keyspace.MARK),
        watermark_ms=None if watermark_ms is None else int(watermark_ms),
        cold=cold_from(found[keyspace.COLD]) if keyspace.COLD in found else None,
        policy=None if policy is None else json.loads(policy),
        layout=None if layout is None else layout.decode(),
        tails={
            name.removeprefix(keyspace.TAIL).decode(): int(value)
            for name, value in found.items()
            if name.startswith(keyspace.TAIL)
        },
        partitions=int(found[keyspace.PARTITIONS]) if keyspace.PARTITIONS in found else None,
        topic_ids={topic: value.decode() for topic, value in by_topic(keyspace.TOPIC_ID).items()},
        salt=found.get(keyspace.SALT) or secrets.token_bytes(_SALT_BYTES),
        earlier_tokens=tuple(earlier[:_EARLIER_TOKENS_MAX]),
    )
