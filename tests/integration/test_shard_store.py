"""This file shows on a real Redis that a shard's writes are atomic, fenced, and applied exactly once."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from flows.dev.embedded import ValkeyServer
from sinks.errors import NotCopartitioned, StoreError, StoreFenced, StoreRolledBack, StoreUnavailable
from sinks.keyspace import Keyspace
from sinks.outbox import OutboxEntry
from sinks.profile_encoder import ProfileEncoder
from sinks.profile_reader import ProfileReader
from sinks.redis_pipe import packed
from sinks.shard_store import Claim, ShardStore
from tests.conftest import start_store
from tests.unit.test_profile_encoder import LADDERS, Twin, chunk_of, policy_of, random_users

TOPICS = ("clickstream", "orders")
POLICY = {"policy": "shop", "version": 3}
PARTITION = 7


def entry(text: bytes) -> OutboxEntry:
    """Make a change of user u."""
    return OutboxEntry("change", b"u", (("ce_id", b"u:1"),), text)


def write_row(store: ShardStore, claim: Claim, keys: Keyspace, row: bytes, **more: Any) -> list[OutboxEntry]:
    """Write the row of user u in a chunk of its own."""
    command = packed("HSET", keys.rows(claim.partition), "u", row)
    return store.write_chunk(claim, command, 1, **more)


def write_offsets(store: ShardStore, claim: Claim, offset: int, **more: Any) -> list[OutboxEntry]:
    """Write a next offset for both topics."""
    offsets = dict.fromkeys(TOPICS, offset)
    return store.write_final(claim, offsets, {"orders": 99}, 88, POLICY, "layout-1", **more)


@pytest.fixture
def keys(prefix: str) -> Keyspace:
    """Name the keys of the test."""
    return Keyspace(prefix)


@pytest.fixture
def shards(valkey: ValkeyServer, prefix: str) -> Iterator[ShardStore]:
    """Open a store."""
    store = ShardStore(valkey.url, prefix, TOPICS, retry_s=2.0)
    yield store
    store.close()


@pytest.fixture
def others(valkey: ValkeyServer, prefix: str) -> Iterator[ShardStore]:
    """Open the store of another worker."""
    store = ShardStore(valkey.url, prefix, TOPICS, retry_s=2.0)
    yield store
    store.close()


def test_claim__of_a_new_shard_is_empty(shards: ShardStore) -> None:
    """A shard that nobody has written has number 0, no offsets and no policy."""
    claim = shards.claim(PARTITION)
    assert (claim.number, claim.offsets, claim.marks, claim.watermark_ms) == (0, {}, {}, None)
    assert (claim.policy, claim.layout, claim.earlier_tokens) == (None, None, ())
    assert (claim.partitions, claim.topic_ids) == (None, {})
    assert list(shards.load_rows(claim)) == []
    assert shards.load_outbox(claim) == []


def test_claim__finds_what_the_last_owner_wrote(
    shards: ShardStore, others: ShardStore, keys: Keyspace
) -> None:
    """The next owner reads rows, offsets and their topics, marks, watermark, policy and outbox as written."""
    claim = shards.claim(PARTITION)
    claim.partitions, claim.topic_ids = 4, {"orders": "an+id/"}
    write_row(shards, claim, keys, b"\x00row\xff", entries=[entry(b"1"), entry(b"2")])
    write_offsets(shards, claim, 41, entries=[entry(b"3")])
    after = others.claim(PARTITION)
    assert (after.number, after.offsets, after.marks) == (
        2,
        {"clickstream": 41, "orders": 41},
        {"orders": 99},
    )
    assert (after.watermark_ms, after.policy, after.layout) == (88, POLICY, "layout-1")
    assert (after.partitions, after.topic_ids) == (4, {"orders": "an+id/"})
    assert after.earlier_tokens == (claim.token,)
    assert list(others.load_rows(after)) == [([b"u"], [b"\x00row\xff"])]
    stored = others.load_outbox(after)
    assert [(found.id, found.value) for found in stored] == [("1-0", b"1"), ("1-1", b"2"), ("2-0", b"3")]
    assert stored[0] == entry(b"1").numbered(1, 0)


def test_confirm__passes_only_what_nobody_touched(
    shards: ShardStore, others: ShardStore, store: redis.Redis, keys: Keyspace
) -> None:
    """A load counts when nobody claimed or restored the shard meanwhile, even if all looks as it was again."""
    claim = shards.claim(PARTITION)
    shards.confirm(claim)
    shards.confirm(claim)
    claimed = store.hgetall(keys.meta(PARTITION))
    others.claim(PARTITION)
    store.delete(keys.meta(PARTITION))
    store.hset(keys.meta(PARTITION), mapping=claimed)
    with pytest.raises(StoreRolledBack, match="while it was loaded"):
        shards.confirm(claim)
    again = shards.claim(PARTITION)
    others.claim(PARTITION)
    with pytest.raises(StoreFenced):
        shards.confirm(again)


def test_check__sees_a_store_that_went_back_in_silence(
    shards: ShardStore, store: redis.Redis, keys: Keyspace
) -> None:
    """Without any write of ours, an older number is found; the number that we left is fine."""
    claim = shards.claim(PARTITION)
    write_offsets(shards, claim, 3)
    shards.check(claim)
    store.hset(keys.meta(PARTITION), "number", claim.number - 1)
    with pytest.raises(StoreRolledBack):
        shards.check(claim)


def test_load_rows__yields_each_of_many_users_once(shards: ShardStore, keys: Keyspace) -> None:
    """A shard of many pages is loaded whole."""
    claim = shards.claim(PARTITION)
    rows = {b"user-%d" % number: b"row-%d" % number for number in range(5_000)}
    flat = [piece for pair in rows.items() for piece in pair]
    shards.write_chunk(claim, packed("HSET", keys.rows(PARTITION), *flat), 1)
    pages = list(shards.load_rows(claim))
    assert len(pages) > 1
    loaded = [pair for ids, found in pages for pair in zip(ids, found, strict=True)]
    assert len(loaded) == 5_000
    assert dict(loaded) == rows


def test_load_outbox__pages_through_many_entries(shards: ShardStore) -> None:
    """An outbox of more than one page is loaded whole and in order."""
    claim = shards.claim(PARTITION)
    written = write_offsets(shards, claim, 1, entries=[entry(b"%d" % number) for number in range(2_500)])
    assert shards.load_outbox(claim) == written


def test_write__of_a_fenced_owner_writes_nothing(
    shards: ShardStore, others: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """After a second claim the first owner's write ends in StoreFenced and leaves no trace."""
    first = shards.claim(PARTITION)
    write_row(shards, first, keys, b"first")
    second = others.claim(PARTITION)
    for attempt in (lambda: write_row(shards, first, keys, b"late"), lambda: write_offsets(shards, first, 9)):
        with pytest.raises(StoreFenced, match="shard 07"):
            attempt()
    assert store.hget(keys.rows(PARTITION), "u") == b"first"
    write_row(others, second, keys, b"second")
    assert store.hget(keys.rows(PARTITION), "u") == b"second"
    assert store.hget(keys.meta(PARTITION), "number") == b"2"


@pytest.mark.parametrize("number", [0, 1, 3, 900])
def test_write__to_a_shard_with_another_number_writes_nothing(
    shards: ShardStore, keys: Keyspace, store: redis.Redis, number: int
) -> None:
    """A number behind ours, or ahead of it, ends in StoreRolledBack and leaves no trace."""
    claim = shards.claim(PARTITION)
    write_row(shards, claim, keys, b"one")
    write_row(shards, claim, keys, b"two")
    store.hset(keys.meta(PARTITION), "number", number)
    with pytest.raises(StoreRolledBack, match=f"number 2, the store has {number}"):
        write_row(shards, claim, keys, b"three")
    assert store.hget(keys.rows(PARTITION), "u") == b"two"


def test_write__to_a_store_from_before_our_claim_is_a_rollback(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """An earlier token, or no meta at all, says that the store was restored, not that we were fenced."""
    shards.claim(PARTITION)
    before = store.hgetall(keys.meta(PARTITION))
    claim = shards.claim(PARTITION)
    store.delete(keys.meta(PARTITION))
    with pytest.raises(StoreRolledBack):
        write_row(shards, claim, keys, b"lost")
    store.hset(keys.meta(PARTITION), mapping=before)
    with pytest.raises(StoreRolledBack):
        write_row(shards, claim, keys, b"lost")
    again = shards.claim(PARTITION)
    write_row(shards, again, keys, b"kept")
    assert store.hgetall(keys.rows(PARTITION)) == {b"u": b"kept"}


def test_write__a_chunk_without_its_final_write_leaves_the_offsets_behind(
    shards: ShardStore, others: ShardStore, keys: Keyspace
) -> None:
    """A crash between chunks and offsets leaves rows ahead: what follows is a replay, not a loss."""
    claim = shards.claim(PARTITION)
    write_offsets(shards, claim, 10)
    write_row(shards, claim, keys, b"ahead", entries=[entry(b"x")])
    after = others.claim(PARTITION)
    assert after.offsets == {"clickstream": 10, "orders": 10}
    assert list(others.load_rows(after)) == [([b"u"], [b"ahead"])]
    assert [found.value for found in others.load_outbox(after)] == [b"x"]


def test_write__trims_the_outbox_up_to_what_was_delivered(shards: ShardStore) -> None:
    """Entries up to the delivered one leave the outbox with the next write; later ones stay."""
    claim = shards.claim(PARTITION)
    write_offsets(shards, claim, 1, entries=[entry(b"1"), entry(b"2"), entry(b"3")])
    write_offsets(shards, claim, 2, entries=[entry(b"4")], trim_to="1-1")
    assert [found.id for found in shards.load_outbox(claim)] == ["1-2", "2-0"]


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
        written = shards.write_chunk(claim, count, 1, [entry(b"%d" % number)])
        assert [found.id for found in written] == [f"{number}-0"]
        assert store.hget(keys.rows(PARTITION), "u") == b"%d" % number
    assert (proxy.loses_answers, proxy.loses_writes) == (0, 0)
    assert [found.id for found in shards.load_outbox(claim)] == ["1-0", "2-0"]
    shards.close()


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
            write_row(shards, claim, keys, b"refused", entries=[entry(b"x")])
        assert client.hget(keys.rows(PARTITION), "u") == b"before"
        assert client.hget(keys.meta(PARTITION), "number") == b"1"
        assert client.exists(keys.outbox(PARTITION)) == 0
        client.config_set("maxmemory", "0")
        write_row(shards, claim, keys, b"after")
        assert client.hget(keys.rows(PARTITION), "u") == b"after"
        shards.close()


def test_write__to_a_key_of_another_type_names_the_command(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """When somebody else wrote to our keys the error says which command met what."""
    claim = shards.claim(PARTITION)
    store.set(keys.user("u"), "not a hash")
    commands = packed("HSET", keys.rows(PARTITION), "u", b"row") + packed(
        "HSET", keys.user("u"), "shard", "7"
    )
    with pytest.raises(StoreError, match=rf"HSET {keys.user('u').decode()}: .*wrong kind of value"):
        shards.write_chunk(claim, commands, 2)


def test_write__of_a_user_of_another_shard_is_refused(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """A user whom another shard owns is not written, and the error names the way out."""
    first, second = shards.claim(3), shards.claim(PARTITION)
    profile = keys.user("u42")
    shards.write_chunk(first, packed("HSET", profile, "shard", "3"), 1, new_user_keys=[profile])
    with pytest.raises(NotCopartitioned) as refused:
        shards.write_chunk(second, packed("HSET", profile, "shard", "7"), 1, new_user_keys=[profile])
    assert str(refused.value).startswith("not_copartitioned: user 'u42' of shard 07 is owned by shard 03")
    assert "tierwise rekey --from" in str(refused.value)
    assert store.hget(profile, "shard") == b"3"
    assert store.hget(keys.meta(PARTITION), "number") is None
    shards.write_chunk(first, packed("HSET", profile, "seq", "2"), 1, new_user_keys=[profile])


def test_write__two_shards_racing_for_a_new_user_cannot_both_win(
    shards: ShardStore, keys: Keyspace, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile that appears between the look and the write stops the write."""
    claim, profile = shards.claim(PARTITION), keys.user("u")
    refuse = ShardStore._refuse_other_owner

    def look_then_lose(self: ShardStore, *args: Any) -> None:
        refuse(self, *args)
        store.hset(profile, "shard", "3")

    monkeypatch.setattr(ShardStore, "_refuse_other_owner", look_then_lose)
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


def test_chunk__of_five_hundred_users_is_stored_as_the_twin_says(
    shards: ShardStore, valkey: ValkeyServer, prefix: str, keys: Keyspace, store: redis.Redis
) -> None:
    """Profiles, audiences and rows after two chunks equal what plain Python would have stored."""
    encoder, claim = ProfileEncoder(policy_of(), prefix, PARTITION), shards.claim(PARTITION)
    twin, expected = Twin(policy_of(), f"{prefix}twin", PARTITION), store.pipeline()
    committed = [-1] * len(LADDERS)
    users = {user["id"]: {**user, "committed_rung": committed} for user in random_users(500, seed=1)}
    later = [{**user, "committed_rung": users[user["id"]]["rung"]} for user in random_users(200, seed=2)]
    for batch in (list(users.values()), later):
        chunk = chunk_of(batch, len(LADDERS))
        shards.write_chunk(claim, *encoder.encode(chunk), new_user_keys=encoder.new_user_keys(chunk))
        for command in twin.commands(batch):
            expected.execute_command(*command)
    expected.execute()
    ours, theirs = dump(store, prefix), dump(store, f"{prefix}twin")
    del ours[keys.meta(PARTITION).removeprefix(prefix.encode())]
    assert ours == theirs
    with ProfileReader(valkey.url, prefix) as reader:
        profile = reader.profile("user-499")
        assert profile is not None
        assert profile.shard == PARTITION
        assert set(profile.ladders) == {"tier", "aipl", "only"}
        assert "user-499" in set(reader.audience("tier", profile.ladders["tier"].rung))
        assert reader.profile("nobody") is None
        write_offsets(shards, claim, 5)
        row = reader.stored_row("user-499")
        assert row is not None
        assert (row.partition, row.row, row.policy) == (PARTITION, users[b"user-499"]["row"], POLICY)


def dump(store: redis.Redis, prefix: str) -> dict[bytes, Any]:
    """Read all hashes and sets under a prefix."""
    found: dict[bytes, Any] = {}
    for key in store.scan_iter(f"{prefix}:*", count=1_000):
        read = store.smembers if store.type(key) == b"set" else store.hgetall
        found[key.removeprefix(prefix.encode())] = read(key)
    return found
