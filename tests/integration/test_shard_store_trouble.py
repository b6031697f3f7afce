"""This file shows what becomes of a shard's writes when the line, the memory, the server or a race is against them."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from flows.dev.embedded import ValkeyServer
from sinks.errors import NotCopartitioned, StoreRolledBack, StoreUnavailable
from sinks.keyspace import Keyspace
from sinks.redis_pipe import packed
from sinks.shard_store import ShardStore
from sinks.shard_write import ShardWrite
from tests.conftest import start_store
from tests.integration.shard_writes import PARTITION, TOPICS, batch, write_row


class LossyProxy:
    """Passes bytes to Redis; on demand cuts a client off after its next EXEC has reached Redis, or before."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.loses_answers = 0
        self.loses_writes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()
            while data := _received(client):
                is_write = b"\r\nEXEC\r\n" in data
                if is_write and self.loses_writes:
                    self.loses_writes -= 1
                    break
                if is_write and self.loses_answers:
                    self.loses_answers -= 1
                    client.shutdown(socket.SHUT_WR)
                    server.sendall(data)
                    _received(server)
                    break
                server.sendall(data)

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                return


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(1 << 20)
    except OSError:
        return b""


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[LossyProxy]:
    """Stand between the store and Redis."""
    proxy = LossyProxy(valkey.port)
    yield proxy
    proxy.close()


@pytest.mark.parametrize(("answers", "writes"), [(1, 0), (0, 1), (1, 3), (0, 0)])
def test_write__whose_answer_is_lost_is_applied_once(
    proxy: LossyProxy, prefix: str, keys: Keyspace, store: redis.Redis, answers: int, writes: int
) -> None:
    """Whether the write or its answer was lost, it is there once in the end and the next one follows."""
    shards = ShardStore(proxy.url, prefix, TOPICS, timeout_s=2.0, retry_s=20.0)
    claim = shards.claim(PARTITION)
    count = packed("HINCRBY", keys.rows(PARTITION), "u", 1)
    proxy.loses_answers, proxy.loses_writes = answers, writes
    for number in (1, 2):
        written = shards.write_chunk(claim, count, 1, batch(b"%d" % number))
        assert written is not None
        assert written.id == f"{number}-0"
        assert store.hget(keys.rows(PARTITION), "u") == b"%d" % number
    assert (proxy.loses_answers, proxy.loses_writes) == (0, 0)
    assert [found.id for found in shards.load_outbox(claim)] == ["1-0", "2-0"]
    shards.close()


@pytest.mark.parametrize(("answers", "writes"), [(1, 0), (0, 1), (0, 0)])
def test_write__is_repeated_as_it_was_though_its_buffer_is_filled_anew(
    proxy: LossyProxy, prefix: str, keys: Keyspace, store: redis.Redis, answers: int, writes: int
) -> None:
    """What is done while the store works may overwrite the commands, which are not read again."""
    shards = ShardStore(proxy.url, prefix, TOPICS, timeout_s=2.0, retry_s=20.0)
    claim, key = shards.claim(PARTITION), keys.rows(PARTITION)
    buffer = bytearray(packed("HINCRBY", key, "u", 1))
    proxy.loses_answers, proxy.loses_writes = answers, writes
    write = shards.begin_chunk(claim, memoryview(buffer), 1)
    buffer[:] = packed("HINCRBY", key, "v", 1)
    assert claim.number == 0
    shards.finish(write)
    assert store.hgetall(key) == {b"u": b"1"}
    shards.write_chunk(claim, memoryview(buffer), 1)
    assert store.hgetall(key) == {b"u": b"1", b"v": b"1"}
    shards.close()


def test_write__that_nobody_finishes_leaves_no_half_read_line(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """The answers to a write are not taken for the next one's: until they are read, the line is closed to others."""
    claim, command = shards.claim(PARTITION), packed("HINCRBY", keys.rows(PARTITION), "u", 1)
    shards.begin_chunk(claim, command, 1)
    with pytest.raises(AssertionError, match="not read"):
        shards.write_chunk(claim, command, 1)
    while store.hget(keys.meta(PARTITION), "number") != b"1":
        assert store.ping()
    shards.forget(PARTITION)
    with pytest.raises(
        StoreRolledBack
    ):  # It happened, and nobody heard of it: the shard has to be claimed anew.
        shards.write_chunk(claim, command, 1)


def test_claim__through_a_lossy_line_still_owns_the_shard(
    proxy: LossyProxy, prefix: str, keys: Keyspace
) -> None:
    """A claim whose answer was lost is made again, and the claim that is answered can write."""
    shards = ShardStore(proxy.url, prefix, TOPICS, timeout_s=2.0, retry_s=20.0)
    proxy.loses_answers = 1
    claim = shards.claim(PARTITION)
    write_row(shards, claim, keys, b"ours")
    shards.close()


def test_write__that_redis_has_no_memory_for_writes_nothing(prefix: str, keys: Keyspace) -> None:
    """Out of memory the whole write is refused; it succeeds as soon as there is memory again."""
    with start_store() as server, redis.Redis.from_url(server.url) as client:
        shards = ShardStore(server.url, prefix, TOPICS, retry_s=0.5)
        claim = shards.claim(PARTITION)
        write_row(shards, claim, keys, b"before")
        client.config_set("maxmemory", "1mb")
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            write_row(shards, claim, keys, b"refused", batch=batch(b"x"))
        assert client.hget(keys.rows(PARTITION), "u") == b"before"
        assert client.hget(keys.meta(PARTITION), "number") == b"1"
        assert client.exists(keys.outbox(PARTITION)) == 0
        client.config_set("maxmemory", "0")
        write_row(shards, claim, keys, b"after")
        assert client.hget(keys.rows(PARTITION), "u") == b"after"
        shards.close()


def test_erase_requests__of_a_replica_without_its_primary_are_for_later(prefix: str, keys: Keyspace) -> None:
    """What it answers is an error like any other on the wire, and none that a worker stops for."""
    with start_store() as server, redis.Redis.from_url(server.url) as store:
        shards = ShardStore(server.url, prefix, TOPICS)
        claims = [shards.claim(PARTITION)]
        store.sadd(keys.erase_requests(PARTITION), "u")
        store.config_set("replica-serve-stale-data", "no")
        store.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="Link with MASTER"):
            shards.erase_requests(claims)
        store.execute_command("REPLICAOF", "NO", "ONE")
        assert shards.erase_requests(claims) == [[b"u"]]
        shards.close()


def test_write__two_shards_racing_for_a_new_user_cannot_both_win(
    shards: ShardStore, keys: Keyspace, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile that appears between the look and the write stops the write."""
    claim, profile = shards.claim(PARTITION), keys.user("u")
    refuse = ShardWrite._refuse_other_owner

    def look_then_lose(self: ShardWrite, *args: Any) -> None:
        refuse(self, *args)
        store.hset(profile, "shard", "3")

    monkeypatch.setattr(ShardWrite, "_refuse_other_owner", look_then_lose)
    with pytest.raises(NotCopartitioned):
        shards.write_chunk(claim, packed("HSET", profile, "shard", "7"), 1, new_user_keys=[profile])
    assert store.hget(profile, "shard") == b"3"


def test_write__without_a_server_gives_up_in_time(prefix: str, keys: Keyspace) -> None:
    """A store that stays away ends in StoreUnavailable, and the write can be made when it is back."""
    server = start_store()
    shards = ShardStore(server.url, prefix, TOPICS, timeout_s=0.3, retry_s=0.5)
    claim = shards.claim(PARTITION)
    server.pause()
    with pytest.raises(StoreUnavailable, match="write 1 of shard 07"):
        write_row(shards, claim, keys, b"row")
    with pytest.raises(StoreUnavailable):
        list(shards.load_rows(claim))
    server.resume()
    shards.close()
    server.close()
