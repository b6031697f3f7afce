"""The shard that tests of the store write to. This file makes its entries and its smallest writes."""

from typing import Any

from sinks.claim import Claim
from sinks.keyspace import Keyspace
from sinks.outbox import OutboxBatch, OutboxEntry, pack
from sinks.redis_pipe import packed
from sinks.shard_store import ShardStore

TOPICS = ("clickstream", "orders")
POLICY = {"policy": "shop", "version": 3}
PARTITION = 7


def entry(text: bytes) -> OutboxEntry:
    """Make a change of user u."""
    return OutboxEntry("change", b"u", (("ce_id", b"u:1"),), text)


def batch(*texts: bytes) -> OutboxBatch:
    """Make changes of user u that one write stores."""
    return pack([entry(text) for text in texts])


def write_row(store: ShardStore, claim: Claim, keys: Keyspace, row: bytes, **more: Any) -> OutboxBatch | None:
    """Write the row of user u in a chunk of its own."""
    command = packed("HSET", keys.rows(claim.partition), "u", row)
    return store.write_chunk(claim, command, 1, **more)


def write_offsets(store: ShardStore, claim: Claim, offset: int, **more: Any) -> OutboxBatch | None:
    """Write a next offset for both topics."""
    offsets = dict.fromkeys(TOPICS, offset)
    return store.write_final(claim, offsets, {"orders": 99}, 88, POLICY, "layout-1", **more)
