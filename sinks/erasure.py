"""This file erases users from Redis: the request, the commands that carry it out, and the marker that stays."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from scoring.erasure import Erasure, Marker
from scoring.policy import Policy
from sinks.keyspace import Keyspace
from sinks.outbox import id_order
from sinks.profile_encoder import packed_count
from sinks.redis_pipe import packed


def marker_bytes(marker: Marker, topics: Sequence[str]) -> bytes:
    """Write a marker as it is stored, its offsets by the names of their topics."""
    offsets = dict(zip(topics, marker.offsets, strict=True))
    document = {"seq": marker.seq, "until_ms": marker.until_ms, "offsets": offsets}
    return json.dumps(document, separators=(",", ":")).encode()


def markers_from(stored: Mapping[bytes, bytes], topics: Sequence[str]) -> dict[bytes, Marker]:
    """Read all markers of a shard; a topic that was not read when a user was erased has no offset."""
    markers = {}
    for digest, value in stored.items():
        found: dict[str, Any] = json.loads(value)
        offsets = tuple(found["offsets"].get(topic, -1) for topic in topics)
        markers[digest] = Marker(found["seq"], found["until_ms"], offsets)
    return markers


class EraseEncoder:
    """
    Render erasures.

    Args:
        policy: whose audiences a user may be in.
        topics: in the order of settings.
    """

    def __init__(self, policy: Policy, prefix: str, topics: Sequence[str]) -> None:
        self._keys = Keyspace(prefix)
        self._topics = tuple(topics)
        self._audiences = [
            self._keys.audience(ladder.name, rung.name) for ladder in policy.ladders for rung in ladder.rungs
        ]

    def encode(self, erasure: Erasure) -> tuple[bytes, int]:
        """Answer the commands that take a user out of the store and keep the marker, and how many they are."""
        keys, partition, user_id = self._keys, erasure.partition, erasure.user_id
        commands = [
            packed("DEL", keys.user(user_id)),
            packed("HDEL", keys.rows(partition), user_id),
            packed("HDEL", keys.cold(partition), user_id),
            packed("SREM", keys.erase_requests(partition), user_id),
            *(packed("SREM", audience, user_id) for audience in self._audiences),
        ]
        if erasure.marker is not None:
            marker = marker_bytes(erasure.marker, self._topics)
            commands.append(packed("HSET", keys.erased(partition), erasure.digest, marker))
        if erasure.cold is not None:
            commands.append(packed_count(keys, partition, erasure.cold))
        return b"".join(commands), len(commands)


class ErasureDesk:
    """Where anybody hands in a user to be erased; the owner of the user's shard does it with its next commits."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis: Any = redis
        self._keys = Keyspace(prefix)

    def request(self, user_id: str) -> int | None:
        """Ask for an erasure; answer the shard it is asked of, None for an unknown user."""
        owner = self._redis.hget(self._keys.user(user_id), "shard")
        if owner is None:
            return None
        self._redis.sadd(self._keys.erase_requests(int(owner)), user_id)
        return int(owner)

    def is_carried_out(self, user_id: str, partition: int) -> bool:
        """Tell whether the owner of the shard has done it."""
        return not self._redis.sismember(self._keys.erase_requests(partition), user_id)

    def last_entry(self, partition: int) -> str | None:
        """Answer the newest entry of the outbox, None when all is published."""
        return _first_id(self._redis.xrevrange(self._keys.outbox(partition), count=1))

    def is_published(self, partition: int, last_entry: str) -> bool:
        """Tell whether the outbox holds nothing any more up to an entry."""
        oldest = _first_id(self._redis.xrange(self._keys.outbox(partition), count=1))
        return oldest is None or id_order(oldest) > id_order(last_entry)


def _first_id(entries: list[tuple[bytes, Any]]) -> str | None:
    return entries[0][0].decode() if entries else None
