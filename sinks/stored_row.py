"""This file reads a user's row as it is stored, the way `tierwise explain` needs it."""

import json
from dataclasses import dataclass
from typing import Any

from sinks import keyspace
from sinks.keyspace import Keyspace
from sinks.redis_client import open_client


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A user's row with what is needed to read it."""

    partition: int
    row: bytes
    policy: dict[str, Any]
    layout: str
    watermark_ms: int | None


def read_stored_row(url: str, prefix: str, user_id: str) -> StoredRow | None:
    """Answer a user's row, from the same moment as its shard's policy and watermark; None without one."""
    keys = Keyspace(prefix)
    with open_client(url) as client:
        owner: Any = client.hget(keys.user(user_id), "shard")
        if owner is None:
            return None
        partition = int(owner)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.hget(keys.rows(partition), user_id)
            pipeline.hget(keys.cold(partition), user_id)
            pipeline.hmget(keys.meta(partition), [keyspace.POLICY, keyspace.LAYOUT, keyspace.WATERMARK_MS])
            warm, cold, (policy, layout, watermark_ms) = pipeline.execute()
    row = warm or cold
    if row is None or policy is None or layout is None:
        return None
    watermark = None if watermark_ms is None else int(watermark_ms)
    return StoredRow(partition, row, json.loads(policy), layout.decode(), watermark)
