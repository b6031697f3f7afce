"""This file shows on a real Redis that a shard's writes are atomic, fenced, and applied exactly once."""

from typing import Any

import pytest
import redis

from flows.dev.embedded import ValkeyServer
from sinks import outbox
from sinks.errors import NotCopartitioned, StoreError, StoreFenced, StoreRolledBack, StoreUnavailable
from sinks.keyspace import Keyspace
from sinks.profile_encoder import ProfileEncoder
from sinks.profile_reader import ProfileReader
from sinks.redis_pipe import packed
from sinks.shard_store import ShardStore
from sinks.stored_row import read_stored_row
from tests.integration.shard_writes import PARTITION, POLICY, batch, entry, write_offsets, write_row
from tests.unit.test_profile_encoder import LADDERS, Twin, chunk_of, policy_of, random_users


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
    write_row(shards, claim, keys, b"\x00row\xff", batch=batch(b"1", b"2"))
    write_offsets(shards, claim, 41, batch=batch(b"3"))
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
    assert stored == [batch(b"1", b"2").numbered(1), batch(b"3").numbered(2)]
    found = [one for held in stored for one in held.entries()]
    assert [(one.id, one.value) for one in found] == [("1-0", b"1"), ("1-1", b"2"), ("2-0", b"3")]


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


def test_find_cold__reads_back_many_users_at_once(shards: ShardStore, keys: Keyspace) -> None:
    """Whoever is among the cold rows is found, whoever is not is left out, beyond a page and after a lost link."""
    claim = shards.claim(PARTITION)
    rows = {b"user-%d" % number: b"row-%d" % number for number in range(0, 1_800, 2)}
    flat = [piece for pair in rows.items() for piece in pair]
    shards.write_chunk(claim, packed("HSET", keys.cold(PARTITION), *flat), 1)
    write_row(shards, claim, keys, b"warm")
    asked = [b"user-%d" % number for number in range(1_800)]
    assert shards.find_cold(claim, claim.number, [*asked, b"u"]) == rows
    shards._look_pipe._connection._sock.close()
    assert shards.find_cold(claim, 0, [b"user-2"]) == {b"user-2": b"row-2"}
    assert list(shards.load_rows(claim)) == [([b"u"], [b"warm"])]


def test_erase_requests__are_read_of_many_shards_at_once_while_one_is_written(
    shards: ShardStore, store: redis.Redis, keys: Keyspace
) -> None:
    """Each shard has its own requests; a connection that broke is opened anew at the next look."""
    claims = [shards.claim(partition) for partition in (PARTITION, PARTITION + 1)]
    store.sadd(keys.erase_requests(PARTITION + 1), "u", "v")
    write = shards.begin_chunk(claims[0], b"", 0)
    nobody, some = shards.erase_requests(claims)
    assert (nobody, sorted(some)) == ([], [b"u", b"v"])
    shards.finish(write)
    assert claims[0].number == 1
    shards._look_pipe._connection._sock.close()
    with pytest.raises(StoreUnavailable):
        shards.erase_requests(claims)
    assert shards.erase_requests(claims[:1]) == [[]]
    store.set(keys.erase_requests(PARTITION), "not a set")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        shards.erase_requests(claims)


def test_find_cold__believes_no_other_store_than_our_own(
    shards: ShardStore, others: ShardStore, store: redis.Redis, keys: Keyspace
) -> None:
    """A store before the write behind which users left, or with another owner, says nothing about them."""
    claim = shards.claim(PARTITION)
    write_row(shards, claim, keys, b"one")
    write_row(shards, claim, keys, b"two")
    assert shards.find_cold(claim, 1, [b"v"]) == {}
    store.hset(keys.meta(PARTITION), "number", 1)
    assert shards.find_cold(claim, 1, [b"v"]) == {}
    with pytest.raises(StoreRolledBack, match="number 2, the store has 1"):
        shards.find_cold(claim, 2, [b"v"])
    others.claim(PARTITION)
    with pytest.raises(StoreFenced):
        shards.find_cold(claim, 1, [b"v"])
    store.delete(keys.meta(PARTITION))
    with pytest.raises(StoreRolledBack):
        shards.find_cold(claim, 1, [b"v"])


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


def test_load_outbox__pages_through_many_batches(shards: ShardStore) -> None:
    """An outbox of more than one page is loaded whole and in order."""
    claim = shards.claim(PARTITION)
    written = [write_offsets(shards, claim, 1, batch=batch(b"%d" % number)) for number in range(250)]
    assert shards.load_outbox(claim) == written


def test_load_outbox__finds_what_an_earlier_version_wrote(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """A stream entry that holds one message alone is a batch of one, goes first, and is trimmed like any other."""
    claim = shards.claim(PARTITION)
    for index in range(2):
        single = {"entry": outbox.to_bytes(entry(b"old %d" % index))}
        store.xadd(keys.outbox(PARTITION), single, id=f"0-{1 + index}")
    write_offsets(shards, claim, 1, batch=batch(b"new"))
    found = shards.load_outbox(claim)
    assert [(held.id, held.count, held.last_id) for held in found] == [
        *(("0-1", 1, "0-1"), ("0-2", 1, "0-2"), ("1-0", 1, "1-0")),
    ]
    assert [one.value for held in found for one in held.entries()] == [b"old 0", b"old 1", b"new"]
    write_offsets(shards, claim, 2, trim_to="0-1")
    assert [held.id for held in shards.load_outbox(claim)] == ["0-2", "1-0"]


def test_write__cuts_a_long_batch_into_pieces(shards: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No value grows beyond what Redis takes: the pieces hold the same messages under the same ids, and go together."""
    monkeypatch.setattr(outbox, "PIECE_BYTES_MAX", 200)
    claim = shards.claim(PARTITION)
    whole = batch(*(b"x" * (7 * number) for number in range(40)), b"y" * 1_000, b"z")
    written = write_offsets(shards, claim, 1, batch=whole)
    assert written == whole.numbered(1)
    pieces = shards.load_outbox(claim)
    assert len(pieces) > 3
    assert all(len(piece.packed) <= 200 or piece.count == 1 for piece in pieces)
    assert [one for piece in pieces for one in piece.entries()] == written.entries()
    write_offsets(shards, claim, 2, trim_to=written.last_id)
    assert shards.load_outbox(claim) == []


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
    write_row(shards, claim, keys, b"ahead", batch=batch(b"x"))
    after = others.claim(PARTITION)
    assert after.offsets == {"clickstream": 10, "orders": 10}
    assert list(others.load_rows(after)) == [([b"u"], [b"ahead"])]
    assert others.load_outbox(after) == [batch(b"x").numbered(2)]


def test_write__trims_the_outbox_up_to_what_was_delivered(shards: ShardStore) -> None:
    """Batches up to the delivered one leave the outbox with the next write; later ones stay."""
    claim = shards.claim(PARTITION)
    write_offsets(shards, claim, 1, batch=batch(b"1", b"2", b"3"))
    write_offsets(shards, claim, 2, batch=batch(b"4"))
    write_offsets(shards, claim, 3, batch=batch(b"5"), trim_to="1-2")
    assert [found.id for found in shards.load_outbox(claim)] == ["2-0", "3-0"]


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


@pytest.mark.parametrize("is_early", [True, False], ids=["before the look", "behind the look"])
def test_write__is_refused_as_well_when_the_write_before_looked_for_it(
    shards: ShardStore, keys: Keyspace, store: redis.Redis, is_early: bool
) -> None:
    """The look behind a write is as good as one of its own: what it did not see yet breaks the watch."""
    first, second = shards.claim(3), shards.claim(PARTITION)
    taken, free = keys.user("u42"), keys.user("u43")
    steps = [
        lambda: shards.write_chunk(first, packed("HSET", taken, "shard", "3"), 1),
        lambda: write_row(shards, second, keys, b"a", following=[taken, free]),
    ]
    for step in steps if is_early else steps[::-1]:
        step()
    command = packed("HSET", taken, "shard", "7") + packed("HSET", free, "shard", "7")
    with pytest.raises(NotCopartitioned, match="u42"):
        shards.write_chunk(second, command, 2, new_user_keys=[taken, free])
    assert (store.hget(taken, "shard"), store.hget(free, "shard")) == (b"3", None)


def test_write__asks_once_for_what_the_write_before_has_looked_for(
    shards: ShardStore, keys: Keyspace, store: redis.Redis
) -> None:
    """Two chunks of new users are two round trips: nothing is asked for between them."""
    claim, profile = shards.claim(PARTITION), keys.user("u42")
    write_row(shards, claim, keys, b"a", following=[profile])
    before = store.info("commandstats")
    shards.write_chunk(claim, packed("HSET", profile, "shard", "7"), 1, new_user_keys=[profile])
    after = store.info("commandstats")
    asked = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert asked["cmdstat_exists"] == 0
    assert asked["cmdstat_exec"] == 1


def test_chunk__of_five_hundred_users_is_stored_as_the_twin_says(
    shards: ShardStore, valkey: ValkeyServer, prefix: str, keys: Keyspace, store: redis.Redis
) -> None:
    """Profiles, audiences and rows after two chunks equal what plain Python would have stored."""
    encoder, claim = ProfileEncoder(policy_of(), prefix, PARTITION), shards.claim(PARTITION)
    twin, expected = Twin(policy_of(), f"{prefix}twin", PARTITION), store.pipeline()
    committed = [-1] * len(LADDERS)
    users = {user["id"]: {**user, "committed_rung": committed} for user in random_users(500, seed=1)}
    later = [{**user, "committed_rung": users[user["id"]]["rung"]} for user in random_users(200, seed=2)]
    for written in (list(users.values()), later):
        chunk = chunk_of(written, len(LADDERS))
        shards.write_chunk(claim, *encoder.encode(chunk), new_user_keys=encoder.new_user_keys(chunk))
        for command in twin.commands(written):
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
    row = read_stored_row(valkey.url, prefix, "user-499")
    assert row is not None
    assert (row.partition, row.row, row.policy) == (PARTITION, users[b"user-499"]["row"], POLICY)


def dump(store: redis.Redis, prefix: str) -> dict[bytes, Any]:
    """Read all hashes and sets under a prefix."""
    found: dict[bytes, Any] = {}
    for key in store.scan_iter(f"{prefix}:*", count=1_000):
        read = store.smembers if store.type(key) == b"set" else store.hgetall
        found[key.removeprefix(prefix.encode())] = read(key)
    return found
