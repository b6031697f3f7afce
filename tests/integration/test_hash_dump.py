"""Profiles in one piece, on a real server: what RESTORE makes of our bytes is what HSET makes of the fields."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sinks.hash_dump import TEXT_MAX, items
from sinks.keyspace import Keyspace
from sinks.restore_probe import PROBE, PROBE_DUMP
from sinks.shard_store import ShardStore
from tests.conftest import start_store
from tests.integration.shard_writes import PARTITION, TOPICS
from tests.redis_dump import dump, item

BOUNDS = [2**bits + near for bits in (7, 12, 15, 23, 31, 63) for near in (-1, 0, 1)]
ROUNDED = 16  # Bytes: in such steps the server's allocator gives memory.
SIZES = [0, 1, 63, 64, 125, 126, 127, TEXT_MAX]
WORDS = [
    *map(str, BOUNDS),
    *(str(-bound) for bound in BOUNDS),
    *("0", "-0", "007", "+1", " 1", "1.5", "-", "1e3", "٣", "9" * 19, "9" * 20, "-" + "9" * 20),
    *("x" * size for size in SIZES),
    *("银", "a\x00b\r\n"),
]


def in_bytes(fields: dict[str, str]) -> dict[bytes, bytes]:
    """Encode names and values."""
    return {name.encode(): word.encode() for name, word in fields.items()}


def test_dump__is_read_as_the_hash_that_hset_would_make(store: redis.Redis, prefix: str) -> None:
    """Each kind of number and text comes back as it was, in as much memory; its neighbours are found around it."""
    for number, word in enumerate(WORDS):
        fields = {"before": "1", f"field{number}": word, "behind": "silver"}
        ours, plain = f"{prefix}:ours:{number}", f"{prefix}:them:{number}"
        store.restore(ours, 0, dump(in_bytes(fields)), replace=True)
        store.hset(plain, mapping=fields)
        assert store.hgetall(ours) == store.hgetall(plain)
        if len(word) <= 64:  # Of longer values HSET makes a hash table.
            assert store.object("encoding", ours) == b"listpack"
            assert abs(store.memory_usage(ours) - store.memory_usage(plain)) <= ROUNDED
        assert store.hset(ours, f"field{number}", "other") == 0
        assert store.hget(ours, "behind") == b"silver"


def test_items__are_those_of_the_slow_twin() -> None:
    """Byte for byte: what the server makes of the twin's bytes it makes of ours."""
    for word in WORDS:
        assert items(word) == item(word.encode())
    assert items(*WORDS) == b"".join(item(word.encode()) for word in WORDS)
    assert dump(in_bytes(PROBE)) == PROBE_DUMP


@pytest.fixture
def strict() -> Iterator[Any]:
    """Run a store of which a user may do everything but RESTORE."""
    with start_store() as server:
        admin = redis.from_url(server.url)
        admin.acl_setuser(
            "worker", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-restore"]
        )
        yield server
        admin.close()


def test_claim__finds_out_whether_profiles_can_be_restored(
    shards: ShardStore, store: redis.Redis, keys: Keyspace, prefix: str, strict: Any
) -> None:
    """Nothing of it is left; where the command is refused the claim says why, and is a claim as any other."""
    assert shards.claim(PARTITION).restore_refusal is None
    assert not store.exists(keys.probe(PARTITION))
    others = ShardStore(strict.url.replace("redis://", "redis://worker:any@"), prefix, TOPICS, retry_s=2.0)
    claim = others.claim(PARTITION)
    assert "restore" in (claim.restore_refusal or "")
    assert claim.token
    others.close()
