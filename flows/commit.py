"""This file is the commit stage: what the shards changed goes to the store, each write atomic and fenced."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.clock import Clock
from flows.formats import originals
from flows.items import Claimed, Committed, Dropped, Due, Erased, Flush, Released, Scored, Tick, Written
from flows.log import log
from flows.measure import Measure
from flows.progress import Progress, ShardProgress
from flows.turns import AT_ONCE, Turns, in_turns
from scoring.commit_plan import CommitPlan
from scoring.erasure import Erasure
from scoring.events import DeadLetter
from sinks import change_topic, outbox
from sinks.change_encoder import ChangeEncoder
from sinks.claim import Claim
from sinks.erasure import EraseEncoder
from sinks.errors import StoreError, StoreFenced, StoreRolledBack
from sinks.outbox import OutboxBatch
from sinks.output_tail import OutputTail
from sinks.profile_encoder import ProfileEncoder, Room
from sinks.shard_store import ShardStore
from sinks.shard_write import ShardWrite

QUIET_LOOK_MS = 1_000
"""How often a shard without writes is compared with the store, a round trip each."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every final write repeats: the policy and the row layout the rows were made with."""

    policy: Mapping[str, Any]
    layout: str


@dataclass(slots=True)
class _Owned:
    claim: Claim
    encoder: ProfileEncoder
    place: tuple[dict[str, int], dict[str, int], int | None]
    """Offsets, marks and watermark as last written."""
    tails: dict[str, int]
    seen_number: int = -1


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A chunk as it is sent; `commands` lie in the encoder's buffer."""

    commands: memoryview
    count: int
    batch: OutboxBatch | None
    new_user_keys: tuple[bytes, ...]
    following: tuple[bytes, ...]
    """New_user_keys of the next one."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A write on its way, what it takes out of the outbox, and where that ends in the output."""

    write: ShardWrite
    trim_to: str | None
    tails: dict[str, int]


class Commit:
    """
    Write what each shard changed: its users in chunks, then where reading goes on.

    A crash between two chunks is harmless: what is read again is skipped by rows that are ahead. A lost
    fence drops that shard only; a store that went back in time has it claimed and loaded again.
    """

    def __init__(
        self,
        store: ShardStore,
        new_encoder: Callable[[Claim], ProfileEncoder],
        change_encoder: ChangeEncoder,
        erase_encoder: EraseEncoder,
        output_tail: OutputTail,
        topics: Sequence[str],
        stamp: Stamp,
        progress: Progress,
        clock: Clock,
        measure: Measure,
    ) -> None:
        self._store = store
        self._new_encoder = new_encoder
        self._change_encoder = change_encoder
        self._erase_encoder = erase_encoder
        self._output_tail = output_tail
        self._topics = tuple(topics)
        self._stamp = stamp
        self._progress = progress
        self._clock = clock
        self._measure = measure
        self._owned: dict[int, _Owned] = {}
        self._next_look_ms = 0
        self._rooms: list[Room] = []
        """Those that no plan is rendered in at the moment: megabytes each, and few are used at once."""

    def __call__(self, items: Iterable[Due]) -> Iterator[Written]:
        """Work items off; answer what of them is durable as soon as it is, for the change topic not to wait."""
        plans: dict[int, CommitPlan] = {}
        for item in items:
            if not isinstance(item, Scored) or item.plan.partition in plans:
                yield from self._write(plans)
                plans = {}
            if isinstance(item, Scored):
                plans[item.plan.partition] = item.plan
            else:
                yield from self._work_off(item)
        yield from self._write(plans)

    def _work_off(self, item: Due) -> Iterator[Written]:
        match item:
            case Claimed(claim):
                yield from self._take(claim)
            case Erased(erasure):
                yield from self._erase(erasure)
            case Released(partition):
                if owned := self._owned.pop(partition, None):  # Otherwise its last write failed.
                    self._progress.settled[partition] = owned.claim.token
                self._store.forget(partition)
                yield item
            case Flush():
                yield item
            case Tick():
                yield from self.trim()
                yield from self._look_at_quiet_shards()
                yield item

    def trim(self) -> Iterator[Written]:
        """Take what has been published out of the outboxes that no write of late has looked after."""
        for partition, owned in list(self._owned.items()):
            account = self._progress.shards.get(partition)
            if account is not None and account.delivered != account.trimmed:
                stamp = self._stamp_of(owned.claim)
                yield from self._alone(partition, partial(self._write_place, owned, None, stamp))

    def _look_at_quiet_shards(self) -> Iterator[Written]:
        """Learn of a store that went back while nothing was written, as a write would."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._next_look_ms:
            return
        self._next_look_ms = now_ms + QUIET_LOOK_MS
        for partition, owned in list(self._owned.items()):
            if owned.claim.number == owned.seen_number:
                yield from self._alone(partition, partial(self._check, owned.claim))
            owned.seen_number = owned.claim.number

    def _check(self, claim: Claim) -> Turns[OutboxBatch]:
        self._store.check(claim)
        return iter(())

    def _take(self, claim: Claim) -> list[Written]:
        place = (dict(claim.offsets), dict(claim.marks), claim.watermark_ms)
        self._owned[claim.partition] = _Owned(claim, self._new_encoder(claim), place, dict(claim.tails))
        batches = self._store.load_outbox(claim)
        if account := self._progress.shards.get(claim.partition):
            account.written = dict(claim.offsets)
        published: frozenset[str] = frozenset()
        if batches:
            published = self._output_tail.published(batches, claim.tails)
            count = sum(batch.count for batch in batches)
            log("info", "outbox.found", shard=claim.partition, entries=count, published=len(published))
        # What is in flight from a claim before this one no longer counts; what matters of it is in `batches`.
        return [Dropped(claim.partition), Committed(claim.partition, batches, published)]

    def _write(self, plans: Mapping[int, CommitPlan]) -> Iterator[Written]:
        """Write plans of different shards: while the store works on one of them, we do on another."""
        owned = [(self._owned[one], plan) for one, plan in plans.items() if one in self._owned]
        return in_turns([self._write_one(*each) for each in owned], AT_ONCE)

    def _write_one(self, owned: _Owned, plan: CommitPlan) -> Turns[Written]:
        started_s = time.monotonic()
        yield from self._fenced(plan.partition, partial(self._write_plan, owned, plan))
        if plan.partition in self._owned:
            self._measure.commit_made(plan, time.monotonic() - started_s)

    def _erase(self, erasure: Erasure) -> Iterator[Written]:
        owned = self._owned.get(erasure.partition)
        if owned is None:
            return  # The request is still there for whoever owns the shard next.
        entries = [change_topic.entry_of(change) for change in erasure.changes]
        if entries:
            entries.append(change_topic.tombstone_of(erasure.user_id))
        batch = outbox.pack(entries) if entries else None
        commands, count = self._erase_encoder.encode(erasure)
        write = partial(self._store.write_chunk, owned.claim, commands, count, batch)
        yield from self._alone(erasure.partition, lambda: iter([write()]))
        if erasure.partition in self._owned:
            self._measure.user_erased(erasure)
            log("info", "user.erased", shard=erasure.partition, was_known=erasure.marker is not None)

    def _write_plan(self, owned: _Owned, plan: CommitPlan) -> Turns[OutboxBatch]:
        room = self._rooms.pop() if self._rooms else Room()
        chunks = self._rendered(owned, plan, room)
        chunk, stored = next(chunks, None), None
        while chunk:
            sent = self._send_chunk(owned, chunk)
            # What is durable is published, and the next chunk made ready, while the store works on this one.
            if stored is not None:
                yield stored
            chunk = next(chunks, None)
            yield None
            stored = self._hear(owned, sent)
            self._progress.beat()
        if stored is not None:
            yield stored
        self._rooms.append(room)
        offsets, marks, _ = owned.place
        owned.place = (
            offsets | self._by_topic(plan.next_offset),
            marks | self._by_topic(plan.marks),
            plan.watermark_ms,
        )
        is_former = self._stamp_of(owned.claim) != self._stamp
        yield from self._write_place(
            owned, self._with_letters(outbox.pack(()), plan.dead_letters), self._stamp
        )
        if is_former:  # Every user has been written anew; nothing of the former policy is left.
            owned.encoder = self._new_encoder(owned.claim)

    def _stamp_of(self, claim: Claim) -> Stamp:
        """Answer what the rows in the store were made with: a former policy, until the first plan is written."""
        if claim.layout is None or claim.policy is None or claim.layout == self._stamp.layout:
            return self._stamp
        return Stamp(claim.policy, claim.layout)

    def _rendered(self, owned: _Owned, plan: CommitPlan, room: Room) -> Iterator[_Rendered]:
        """Render chunk by chunk; the bytes of one hold until the next is asked for."""
        keys = map(owned.encoder.new_user_keys, plan.chunks)
        following = next(keys, ())
        for block in plan.blocks:
            encoded = owned.encoder.encode_block(block, room)
            packed = self._change_encoder.packed(block.users.changes, block.changes_start)
            for chunk, (commands, count), messages in zip(block.chunks, encoded, packed, strict=True):
                changes = OutboxBatch("", len(chunk.changes), messages)
                batch = self._with_letters(changes, chunk.dead_letters)
                new, following = following, next(keys, ())
                yield _Rendered(commands, count, batch, new, following)

    def _send_chunk(self, owned: _Owned, chunk: _Rendered) -> _Sent:
        trim_to, tails = self._trim_to(owned), self._tails(owned)
        write = self._store.begin_chunk(
            owned.claim,
            chunk.commands,
            chunk.count,
            chunk.batch,
            chunk.new_user_keys,
            trim_to,
            tails,
            chunk.following,
        )
        return _Sent(write, trim_to, tails)

    def _write_place(self, owned: _Owned, batch: OutboxBatch | None, stamp: Stamp) -> Turns[OutboxBatch]:
        offsets, marks, watermark_ms = owned.place
        trim_to, tails = self._trim_to(owned), self._tails(owned)
        write = self._store.begin_final(
            owned.claim,
            offsets,
            marks,
            watermark_ms,
            stamp.policy,
            stamp.layout,
            batch,
            trim_to,
            tails,
        )
        yield None
        stored = self._hear(owned, _Sent(write, trim_to, tails))
        if account := self._account(owned):
            account.written = offsets
        if stored is not None:
            yield stored

    def _hear(self, owned: _Owned, sent: _Sent) -> OutboxBatch | None:
        """Wait for the answer; tell what is to be published."""
        stored = self._store.finish(sent.write)
        account = self._account(owned)
        if account is not None and sent.trim_to is not None:
            account.trimmed = sent.trim_to
        owned.tails |= sent.tails
        return stored

    def _fenced(self, partition: int, write: Callable[[], Turns[OutboxBatch]]) -> Turns[Written]:
        """Write; when the shard turns out to be another's, or not as we left it, drop it."""
        try:
            for stored in write():
                yield None if stored is None else Committed(partition, [stored])
        except StoreFenced as error:
            self._progress.lost(partition)
            self._measure.shard_fenced()
            log("warn", "store.fenced", shard=partition, action="drop", error=error)
            yield self._drop(partition)
        except StoreRolledBack as error:
            self._progress.rolled_back.add(partition)
            self._measure.shard_rolled_back()
            log("warn", "store.rolled_back", shard=partition, action="reload", error=error)
            yield self._drop(partition)
        except StoreError as error:
            self._measure.commit_refused(error)
            raise

    def _alone(self, partition: int, write: Callable[[], Turns[OutboxBatch]]) -> Iterator[Written]:
        return in_turns([self._fenced(partition, write)], 1)

    def _drop(self, partition: int) -> Dropped:
        self._owned.pop(partition, None)
        self._store.forget(partition)
        return Dropped(partition)

    def _account(self, owned: _Owned) -> ShardProgress | None:
        return self._progress.shards.get(owned.claim.partition)

    def _trim_to(self, owned: _Owned) -> str | None:
        account = self._account(owned)
        if account is None or account.delivered == account.trimmed:
            return None
        return account.delivered

    def _tails(self, owned: _Owned) -> dict[str, int]:
        """Answer which ends of the output have moved since they were last written."""
        account = self._account(owned)
        ends = {} if account is None else account.tails
        return {name: at for name, at in ends.items() if owned.tails.get(name) != at}

    def _with_letters(self, batch: OutboxBatch, letters: Sequence[DeadLetter]) -> OutboxBatch | None:
        """Answer what a write has to tell, None for nothing."""
        if letters:
            now_ms = self._clock.wall_ms()
            more = outbox.pack([originals.entry_of(letter, now_ms) for letter in letters])
            batch = OutboxBatch("", batch.count + more.count, batch.packed + more.packed)
        return batch if batch.count else None

    def _by_topic(self, values: Sequence[int | None]) -> dict[str, int]:
        return {topic: value for topic, value in zip(self._topics, values, strict=True) if value is not None}
