"""This file loads shards from Redis, fences them, and writes them in atomic, repeatable steps."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from redis.exceptions import RedisError

from sinks import keyspace, outbox
from sinks.claim import Claim, claim_from, refuse_older_state, refuse_other_state
from sinks.errors import StoreError, StoreRolledBack, StoreUnavailable
from sinks.keyspace import Keyspace
from sinks.outbox import OutboxBatch
from sinks.redis_pipe import LINK_ERRORS, Argument, RedisPipe, open_pool, packed, packed_pieces
from sinks.restore_probe import restore_refusal
from sinks.shard_link import NotNow, Retry, ShardLink, guard_from
from sinks.shard_write import ShardWrite

_ROWS_PER_PAGE = 2_000
_COLD_PER_PAGE = 500
_BATCHES_PER_PAGE = 100


class ShardStore:
    """
    Keep the shards of this process in Redis; not thread-safe.

    Each shard has a connection of its own: a watch belongs to a connection, so shards do not disturb one
    another, and all workers together hold one connection per partition. Cold rows and erase requests are read over
    one more, also by another thread while one of these writes.

    Args:
        url: redis://, rediss:// or unix://, with redis-py's options in its query.
        prefix: of every key.
        topics: input topics whose offsets and marks a claim reads.
        timeout_s: of connecting and of each answer.
        retry_s: how long a write is repeated before StoreUnavailable.
    """

    def __init__(
        self, url: str, prefix: str, topics: Sequence[str], *, timeout_s: float = 5.0, retry_s: float = 30.0
    ) -> None:
        self._pool = open_pool(url, timeout_s)
        self._keys = Keyspace(prefix)
        self._topics = tuple(topics)
        self._retry_s = retry_s
        self._links: dict[int, ShardLink] = {}
        self._look_pipe = RedisPipe(self._pool)

    def claim(self, partition: int) -> Claim:
        """Take the shard in one atomic step: any earlier owner's next write is fenced."""
        retry = Retry(self._retry_s, f"claim of shard {partition:02d}")
        while True:
            try:
                return self._claim_once(partition)
            except (NotNow, *LINK_ERRORS) as error:
                self._link(partition).drop()
                retry.pause(error)
            except StoreError as error:
                self._link(partition).drop()
                raise StoreError(f"claim of shard {partition:02d}: {error}") from error

    def load_rows(self, claim: Claim, *, is_cold: bool = False) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """
        Yield user ids and rows page by page, each user once: those whom time can change, or all others.

        A broken connection ends the load with StoreUnavailable: a scan cursor is of one server.
        """
        cursor, seen = b"0", set[bytes]()
        key = self._keys.cold(claim.partition) if is_cold else self._keys.rows(claim.partition)
        while True:
            cursor, flat = self._read(claim, "HSCAN", key, cursor, "COUNT", _ROWS_PER_PAGE)
            page = {user: row for user, row in zip(flat[::2], flat[1::2], strict=True) if user not in seen}
            seen.update(page)
            if page:
                yield list(page), list(page.values())
            if cursor == b"0":
                return

    def find_cold(self, claim: Claim, number: int, user_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """
        Read back those of these users whose rows are among the cold ones, in one round trip.

        No fence is needed, since we alone write under our token: a store that holds it, and the write with which
        a user's row went out, holds that row. Each page is one moment of the store.

        Args:
            number: of a write of ours behind which none of these users was written.

        Raises:
            StoreFenced, StoreRolledBack: the store is not ours any more, or is back before that write.
        """
        retry = Retry(self._retry_s, f"cold rows of shard {claim.partition:02d}")
        while True:
            try:
                return self._find_cold_once(claim, number, user_ids)
            except (NotNow, *LINK_ERRORS) as error:
                self._look_pipe.close()
                retry.pause(error)

    def _find_cold_once(self, claim: Claim, number: int, user_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        pages = [user_ids[at : at + _COLD_PER_PAGE] for at in range(0, len(user_ids), _COLD_PER_PAGE)]
        look = packed("HMGET", self._keys.meta(claim.partition), keyspace.TOKEN, keyspace.NUMBER)
        cold = self._keys.cold(claim.partition)
        asked = [packed("MULTI") + look + packed("HMGET", cold, *page) + packed("EXEC") for page in pages]
        replies = self._look_pipe.exchange(b"".join(asked), 4 * len(pages))
        found: dict[bytes, bytes] = {}
        for first, page in enumerate(pages):
            answers = replies[4 * first : 4 * first + 4]
            refusal = next((one for one in answers if isinstance(one, Exception)), None)
            if refusal is not None:
                raise NotNow(str(refusal)) from refusal
            seen, rows = answers[-1]
            refuse_older_state(claim, guard_from(seen), number)
            found |= {user: row for user, row in zip(page, rows, strict=True) if row is not None}
        return found

    def confirm(self, claim: Claim) -> None:
        """
        Make sure that what was loaded is what we claimed: an empty transaction under the watch of the claim.

        Rows may have been read while a successor wrote, or from a store that was back for a moment. Token and
        number cannot show that once the store stands at our claim again.

        Raises:
            StoreFenced, StoreRolledBack: it is not, or nobody can tell: claim and load again.
        """
        link = self._link(claim.partition)
        try:
            if link.is_untouched():
                return
            refuse_other_state(claim, link.peek())
        except (NotNow, *LINK_ERRORS):
            link.drop()
        raise StoreRolledBack(f"shard {claim.partition:02d}: the store was not the same while it was loaded")

    def check(self, claim: Claim) -> None:
        """Look whether the shard is as our last write left it; a store that does not answer is for the next write."""
        link = self._link(claim.partition)
        try:
            guard = link.peek()
        except LINK_ERRORS:
            link.drop()
            return
        refuse_other_state(claim, guard)

    def load_outbox(self, claim: Claim) -> list[OutboxBatch]:
        """Answer what was written and not yet trimmed, oldest first."""
        batches: list[OutboxBatch] = []
        start = "-"
        while True:
            page = self._read(
                claim, "XRANGE", self._keys.outbox(claim.partition), start, "+", "COUNT", _BATCHES_PER_PAGE
            )
            batches.extend(outbox.from_stream(entry_id, fields) for entry_id, fields in page)
            if len(page) < _BATCHES_PER_PAGE:
                return batches
            start = f"({batches[-1].id}"

    def load_erased(self, claim: Claim) -> dict[bytes, bytes]:
        """Answer the markers of erased users, as erasure.marker_bytes made them, by digest."""
        flat = self._read(claim, "HGETALL", self._keys.erased(claim.partition))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def erase_requests(self, claims: Sequence[Claim]) -> list[list[bytes]]:
        """Answer the users of each shard whom somebody wants erased, in one round trip for all of these shards."""
        looks = [packed("SMEMBERS", self._keys.erase_requests(claim.partition)) for claim in claims]
        try:
            replies = self._look_pipe.exchange(b"".join(looks), len(looks))
            if refusal := next((one for one in replies if isinstance(one, Exception)), None):
                raise refusal
        except LINK_ERRORS as error:
            self._look_pipe.close()
            raise StoreUnavailable(f"erase requests: {error}") from error
        except RedisError as error:
            raise StoreError(f"erase requests: {error}") from error
        return replies

    def write_chunk(self, claim: Claim, *users: Any, **more: Any) -> OutboxBatch | None:
        """Write as `begin_chunk`, which has the arguments, and `finish` do."""
        return self.finish(self.begin_chunk(claim, *users, **more))

    def begin_chunk(
        self,
        claim: Claim,
        commands: bytes | memoryview,
        command_count: int,
        batch: OutboxBatch | None = None,
        new_user_keys: Sequence[bytes] = (),
        trim_to: str | None = None,
        tails: Mapping[str, int] | None = None,
        following: Sequence[bytes] = (),
    ) -> ShardWrite:
        """
        Send users and what is to be published of them, to be written in one step; `finish` tells what came of it.

        Until then no other method may be asked for anything of this shard, but for that of other shards.

        Args:
            commands: rendered by ProfileEncoder.encode; copied before anything is sent.
            new_user_keys: profiles that no other shard may own (ProfileEncoder.new_user_keys).
            trim_to: last message of the newest batch that needs no publishing any more; it and all before go.
            tails: where those that are removed end in the output partitions (see output_tail).
            following: new_user_keys of the write behind this one; so that it need not ask for them.
        """
        return self._begin(
            claim, commands, command_count, batch, trim_to, tails, tuple(new_user_keys), tuple(following)
        )

    def begin_final(
        self,
        claim: Claim,
        offsets: Mapping[str, int],
        marks: Mapping[str, int],
        watermark_ms: int | None,
        policy: Mapping[str, Any],
        layout: str,
        batch: OutboxBatch | None = None,
        trim_to: str | None = None,
        tails: Mapping[str, int] | None = None,
    ) -> ShardWrite:
        """Send, after all chunks of a commit, where reading starts the next time, and of which topics; see `finish`."""
        fields: list[bytes | str | int] = []
        for topic, offset in offsets.items():
            fields += (keyspace.OFFSET + topic.encode(), offset)
        for topic, mark_ms in marks.items():
            fields += (keyspace.MARK + topic.encode(), mark_ms)
        for topic, topic_id in claim.topic_ids.items():
            fields += (keyspace.TOPIC_ID + topic.encode(), topic_id)
        if claim.partitions is not None:
            fields += (keyspace.PARTITIONS, claim.partitions)
        if watermark_ms is not None:
            fields += (keyspace.WATERMARK_MS, watermark_ms)
        if policy != claim.policy:
            document = json.dumps(policy, ensure_ascii=False, separators=(",", ":"))
            fields += (keyspace.POLICY, document)
        if layout != claim.layout:
            fields += (keyspace.LAYOUT, layout)
        meta = self._keys.meta(claim.partition)
        commands = [packed("HSET", meta, *fields)] if fields else []
        write = self._begin(claim, b"".join(commands), len(commands), batch, trim_to, tails)
        write.stamp = policy, layout
        return write

    def write_final(self, claim: Claim, *place: Any, **more: Any) -> OutboxBatch | None:
        """Write as `begin_final`, which has the arguments, and `finish` do."""
        return self.finish(self.begin_final(claim, *place, **more))

    def finish(self, write: ShardWrite) -> OutboxBatch | None:
        """Wait until a write has happened, see ShardWrite.finish; answer its batch with its id."""
        return write.finish(
            Retry(self._retry_s, f"write {write.number} of shard {write.claim.partition:02d}")
        )

    def forget(self, partition: int) -> None:
        """Close the connection of a shard that is not ours any more."""
        link = self._links.pop(partition, None)
        if link is not None:
            link.drop()

    def close(self) -> None:
        """Close all connections."""
        for partition in list(self._links):
            self.forget(partition)
        self._look_pipe.close()

    def _link(self, partition: int) -> ShardLink:
        if partition not in self._links:
            self._links[partition] = ShardLink(RedisPipe(self._pool), self._keys.meta(partition))
        return self._links[partition]

    def _claim_once(self, partition: int) -> Claim:
        link, meta = self._link(partition), self._keys.meta(partition)
        refusal = restore_refusal(link, self._keys.probe(partition))
        claim = claim_from(partition, secrets.token_hex(8), link.watch_all(meta), self._topics)
        earlier = " ".join(claim.earlier_tokens)
        command = packed(
            "HSET",
            meta,
            *(keyspace.TOKEN, claim.token),
            *(keyspace.EARLIER_TOKENS, earlier),
            *(keyspace.SALT, claim.salt),
        )
        if not link.transact(command, 1):
            raise NotNow("somebody else claims it at the same time")
        claim.restore_refusal = refusal
        return claim

    def _read(self, claim: Claim, *command: Argument) -> Any:
        link = self._link(claim.partition)
        try:
            return link.ask(*command)
        except LINK_ERRORS as error:
            link.drop()
            raise StoreUnavailable(f"{_text(command[0])} {_text(command[1])}: {error}") from error
        except RedisError as error:
            raise StoreError(f"{_text(command[0])} {_text(command[1])}: {error}") from error

    def _begin(
        self,
        claim: Claim,
        commands: bytes | memoryview,
        command_count: int,
        batch: OutboxBatch | None,
        trim_to: str | None,
        tails: Mapping[str, int] | None,
        new_user_keys: tuple[bytes, ...] = (),
        following: tuple[bytes, ...] = (),
    ) -> ShardWrite:
        number = claim.number + 1
        stored = None if batch is None else batch.numbered(number)
        ends = [part for name, at in (tails or {}).items() for part in (keyspace.TAIL + name.encode(), at)]
        head = packed("HSET", self._keys.meta(claim.partition), keyspace.NUMBER, number, *ends)
        tail = self._outbox_commands(claim.partition, stored, trim_to)
        link, owned = self._link(claim.partition), (new_user_keys, self._keys.user_prefix)
        pieces, count = (head, commands, *chain.from_iterable(tail)), 1 + command_count + len(tail)
        write = ShardWrite(claim, link, number, link.transaction(pieces, count, following), stored, owned)
        write.begin()
        return write

    def _outbox_commands(
        self, partition: int, batch: OutboxBatch | None, trim_to: str | None
    ) -> list[list[bytes]]:
        key = self._keys.outbox(partition)
        pieces = () if batch is None else batch.pieces()
        commands = [packed_pieces("XADD", key, piece.id, *piece.fields()) for piece in pieces]
        if trim_to is not None:
            commands.append([packed("XTRIM", key, "MINID", outbox.id_after(trim_to))])
        return commands


def _text(value: bytes | str | int) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
