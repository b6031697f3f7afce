"""This file keeps one shard: messages in, exact users and their changes out, commits taken at will.

Nothing here knows a broker, a store or a clock: what becomes of the messages is a function of the messages.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scoring.commit_chunks import commit_blocks
from scoring.commit_plan import COLD, NOWHERE, WARM, ColdCount, CommitPlan
from scoring.counters import Counters
from scoring.erasure import ErasedUsers, Erasure, Marker
from scoring.events import DeadLetter, EventBatch, Int64s, LadderChange, Reason
from scoring.farewell import farewell
from scoring.message_ids import ids_of, no_ids
from scoring.ordering import no_marks, order_messages
from scoring.pending_changes import CauseIds, PendingChanges
from scoring.rejudge import forget_unreachable, rejudge
from scoring.residence import LEAVING_MIN, is_worth_it, leaving, quiet, resting
from scoring.row import NEWEST, NONE, OFFSETS, SEQ
from scoring.state import C_DEADLINES, C_IDS_EVICTED, C_ORDERS_EVICTED, C_REFUND_EXCESS, CAUSE_TIME, Events
from scoring.step import (
    APPLIED,
    DUPLICATE,
    IGNORED,
    REPLAYED,
    fire_deadlines,
    score_events,
)
from scoring.tables import PolicyTables
from scoring.topic_queue import TopicQueue, column
from scoring.user_rows import UserRows

DETAILS = {
    Reason.TOO_LATE: "event_time: more than allowed_lateness behind the user's newest applied event",
    Reason.UNKNOWN_ORDER: "order_id: names no order of this user that is still remembered",
}


class Shard:
    """Score the messages of one partition number of every input topic."""

    def __init__(
        self, compiled: PolicyTables, partition: int, topics: tuple[str, ...], out_of_orderness_ms: int
    ) -> None:
        assert len(topics) == compiled.layout.topics, (topics, compiled.layout.topics)
        self.compiled = compiled
        self.partition = partition
        self.topics = topics
        self.users = UserRows(compiled)
        self.counters = Counters()
        self.erased = ErasedUsers()
        self._changes = PendingChanges(compiled)
        self._dead_letters: list[tuple[int, DeadLetter]] = []
        self._out_of_orderness_ms = out_of_orderness_ms
        self._queues = [TopicQueue() for _ in topics]
        self._marks = no_marks(len(topics))
        self._watermark = NONE
        self._moved = False

    @property
    def watermark_ms(self) -> int | None:
        """Answer the time up to which deadlines fire; None before the first."""
        return _known(self._watermark)

    @property
    def marks(self) -> list[int | None]:
        """Answer the newest event time of each topic; None before the first."""
        return [_known(int(mark)) for mark in self._marks]

    @property
    def changes(self) -> list[tuple[int, LadderChange]]:
        """Answer what has changed since the last commit, with the rows of the users."""
        return self._changes.listed(self.users)

    @property
    def change_count(self) -> int:
        """Count what has changed since the last commit."""
        return len(self._changes)

    def pending(self, topic: int) -> int:
        """Count the messages of a topic that wait for their turn."""
        return len(self._queues[topic])

    def next_offset(self, topic: int) -> int | None:
        """Answer the first offset that is not consumed yet; None before the first message."""
        return self._queues[topic].next_offset

    def restore(self, user_ids: Sequence[bytes], rows: Sequence[bytes], home: int = WARM) -> None:
        """Take stored users back, from where the store has them; raises RowMisread for a row of another layout."""
        self.users.restore(user_ids, rows, home)

    def resume(
        self,
        offsets: Sequence[int | None],
        marks: Sequence[int | None],
        watermark_ms: int | None,
        cold: ColdCount | None = None,
    ) -> None:
        """Go on from committed next offsets, marks and watermark; `cold` are the users who stay in the store."""
        if cold is not None:
            self.users.cold.resume(cold)
        for queue, offset in zip(self._queues, offsets, strict=True):
            queue.next_offset = offset
        self._marks = np.array([NONE if mark is None else mark for mark in marks], np.int64)
        self._watermark = NONE if watermark_ms is None else watermark_ms

    def recall(self, erased: ErasedUsers) -> None:
        """Learn, after all users are restored, who was erased and may come back."""
        self.erased = erased
        self._recall_from(0)

    def add(self, batch: EventBatch) -> list[bytes]:
        """Queue decoded messages of one topic, in offset order; answer whom to look for, see `meet`."""
        skip = ((batch.fate != 0) | (batch.type < 0)).astype(np.int8)
        known = len(self.users)
        rows = self.users.rows_of(batch.users, batch.user_hash, skip)
        self.users.heard[rows[rows >= 0]] = self.users.look
        self._queues[batch.topic].add(batch, rows)
        return self._met(known)

    def meet(self, user_ids: Sequence[bytes]) -> list[bytes]:
        """
        Take users into memory; answer those of them whom the store may have among its cold ones.

        What it has of them is to be handed to `take_back` before anything else is asked of the shard.
        """
        known = len(self.users)
        for user_id in user_ids:
            self.users.heard[self.users.row_of(user_id)] = self.users.look
        return self._met(known)

    def take_back(self, user_ids: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Take users back whom we have met; raises RowMisread for a row of another layout."""
        self.users.restore(user_ids, rows, COLD)
        self.users.cold.away -= len(user_ids)

    def let_go(self, at_least: int = LEAVING_MIN) -> int:
        """
        Look who had no message since the last look: forget the cold ones if they are many, and answer how many.

        They are users of the shard as before: `add` and `meet` ask for them. The others are laid to rest, if they are
        many. To be called only when the store has every commit taken so far.
        """
        is_quiet = quiet(self.users, [queue.rows() for queue in self._queues])
        self.users.look += 1
        gone = leaving(self.users, is_quiet)
        count = int(gone.sum())
        if is_worth_it(count, len(self.users), at_least):
            self._keep(~gone)
            is_quiet = is_quiet[~gone]
        else:
            count = 0
        rest = resting(self.users, is_quiet)
        if is_worth_it(rest.shape[0], int(self.users.at_work.sum()), at_least):
            self.users.lay_to_rest(rest)
        if len(self.users) and self.users.is_roomy(at_least):
            self._keep(np.ones(len(self.users), np.bool_))
        return count

    def _keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Forget all users but these, and have memory of the size that they need."""
        new_row = np.where(is_kept, np.cumsum(is_kept) - 1, -1)
        is_cold = self.users.committed_home[: is_kept.shape[0]] == COLD
        self.users.cold.away += int((is_cold & ~is_kept).sum())
        self.users = self.users.kept(np.flatnonzero(is_kept))
        for queue in self._queues:
            queue.renumber(new_row)
        self._changes.renumber(new_row)
        self._dead_letters = [
            (row if row < 0 else int(new_row[row]), letter) for row, letter in self._dead_letters
        ]
        self.erased.renumber(new_row)

    def reach(self, topic: int, offset: int) -> None:
        """Note that nothing that counts stands before this offset but what was added."""
        self._moved |= self._queues[topic].reach(offset)

    def advance(self, at_end: Sequence[bool], idle: Sequence[bool]) -> None:
        """Score what can be ordered: all, or up to where a topic that is not at its end has no more messages."""
        queues = self._queues
        waiting = [len(queue) for queue in queues]
        if not any(waiting):
            return
        parts = [part for queue in queues for part in queue.slices()]
        ends = np.cumsum(waiting)
        next_at = ends - waiting
        idle_now = [left_out and not left for left_out, left in zip(idle, waiting, strict=True)]
        order, watermark = np.empty(ends[-1], np.int64), np.empty(ends[-1] + 1, np.int64)
        watermark[0] = self._watermark
        time_ms, fate = column(parts, "event_time_ms"), column(parts, "fate")
        flags = np.array(at_end, np.uint8), np.array(idle_now, np.uint8)
        first = next_at.copy()
        taken = order_messages(
            time_ms, fate, next_at, ends, *flags, self._marks, self._out_of_orderness_ms, watermark, order
        )
        if not taken:
            return
        self._watermark = int(watermark[taken])
        events = _events(parts, order[:taken], watermark[:taken], waiting, time_ms, fate)
        self._score(events, parts)
        for queue, count in zip(queues, (next_at - first).tolist(), strict=True):
            queue.take(count)
        self._moved = True

    def fire(self, watermark_ms: int) -> None:
        """Raise the watermark, never back, and work off every deadline up to it."""
        self._watermark = max(self._watermark, watermark_ms)
        due = np.flatnonzero(self.users.state.due[: len(self.users)] <= self._watermark)
        self.users.put_to_work(due)
        position, tables = 0, self.compiled.tables
        while position < due.shape[0]:
            changes, state = self._changes.arrays, self.users.state
            position = fire_deadlines(tables, state, changes, due, position, self._watermark, CAUSE_TIME)
            self._collect(no_ids)
            self._make_room()
        self._count_from_kernels()

    def adopt(self, old: "Shard", rows: dict[int, int]) -> None:
        """Go on where another shard stopped, with what it has not committed; `rows` maps its rows to ours."""
        self._marks, self._watermark = old._marks.copy(), old._watermark
        self._changes.adopt([(rows[row], change) for row, change in old.changes])
        self._moved = True

    def forget_unreachable_orders(self, row: int) -> None:
        """Forget what this policy lets no refund find any more, before another one is asked."""
        forget_unreachable(self.compiled.tables, self.users.state, row)

    def judge_again(self, row: int, left: Mapping[str, tuple[str, int]]) -> None:
        """
        Put a user where this policy has him, with cause `policy`.

        Args:
            left: name and rank of the rung he leaves, by ladder, where this policy has no rung of that name.
        """
        ladders = self.compiled.policy.ladders
        ranks = np.array([left[one.name][1] if one.name in left else -1 for one in ladders], np.int64)
        rejudge(self.compiled.tables, self.users.state, self._changes.arrays, row, ranks)
        self._collect(no_ids)
        self._changes.name(self.users, left)

    def erase(self, user_id: bytes) -> Erasure:
        """
        Forget a user but for the marker, and take leave on every ladder and every tag that is on.

        To be called behind `meet`, with nothing uncommitted: what the user changed before is published before.
        """
        row = self.users.row_of(user_id)
        digest = self.erased.digest(user_id)
        if not self.users.exists(row):
            return Erasure(self.partition, user_id, digest, None, [])
        assert not self.users.state.dirty[row], "what the user changed is to be committed first"
        changes = farewell(self.users, row, self._watermark)
        own = self.users.own(row)
        consumed = [queue.next_offset or 0 for queue in self._queues]
        offsets = own[OFFSETS : OFFSETS + len(self.topics)].tolist()
        marker = Marker(
            seq=int(own[SEQ]) + len(changes),
            until_ms=int(own[NEWEST]),
            offsets=tuple(max(one, to - 1) for one, to in zip(offsets, consumed, strict=True)),
        )
        users, here = self.users, slice(row, row + 1)
        nowhere = np.full(1, NOWHERE, np.int8)
        is_recounted = users.cold.move(
            nowhere, users.committed_rung[here], users.committed_home[here], users.committed_rung[here]
        )
        users.forget(row, marker)
        self.erased.mark(row, digest, marker)
        cold = users.cold.count() if is_recounted else None
        return Erasure(self.partition, user_id, digest, marker, changes, cold)

    def _met(self, first_row: int) -> list[bytes]:
        """Take note of users who are new in memory; answer those whom the store may have."""
        self._recall_from(first_row)
        if not self.users.cold.away:
            return []
        return self.users.index.users_from(first_row)

    def _recall_from(self, first_row: int) -> None:
        """Let users who were erased and come back go on where they left."""
        users = self.users
        added = ((row, users.index.user(row)) for row in range(first_row, len(users)))
        for row, marker in self.erased.recall(added):
            if not users.exists(row):
                users.forget(row, marker)

    def take_commit(self, chunk_users: int | None = None) -> CommitPlan | None:
        """
        Answer all that changed since the last call, or None; the store is taken to hold it from now on.

        Args:
            chunk_users: of a chunk; by their number if it is not given.
        """
        rows = self.users.take_dirty()
        if not (self._moved or rows.shape[0] or self._dead_letters):
            return None
        blocks, dead_letters = commit_blocks(self.users, rows, self._changes, self._dead_letters, chunk_users)
        plan = CommitPlan(
            partition=self.partition,
            blocks=blocks,
            dead_letters=dead_letters,
            next_offset=[queue.next_offset for queue in self._queues],
            marks=self.marks,
            watermark_ms=self.watermark_ms,
        )
        self._dead_letters, self._moved = [], False
        return plan

    def _score(self, events: Events, parts: list[tuple[EventBatch, Int64s, int]]) -> None:
        position, count = 0, events.order.shape[0]
        events.fate[self.erased.sent_again(events.row, events.event_time_ms)] = REPLAYED
        while True:
            state = self.users.state
            position = score_events(self.compiled.tables, state, self._changes.arrays, events, position)
            self._collect(partial(ids_of, parts))
            if position == count:
                break
            self._make_room()
        self._count_from_kernels()
        self._count_fates(events.fate[events.order])
        self._set_aside(events, parts)

    def _make_room(self) -> None:
        """Enlarge the pool when it was that; the record of changes was emptied by collecting it."""
        state = self.users.state
        if state.pool.shape[0] - state.heap[0] < self.compiled.pool_words_max:
            self.users.grow_pool()

    def _collect(self, cause_ids: CauseIds) -> None:
        self._changes.collect(self.users.state.counts, cause_ids)

    def _count_from_kernels(self) -> None:
        counts, counters = self.users.state.counts, self.counters
        counters.duplicates_evicted += int(counts[C_IDS_EVICTED])
        counters.orders_evicted += int(counts[C_ORDERS_EVICTED])
        counters.refund_excess += int(counts[C_REFUND_EXCESS])
        counters.deadlines_fired += int(counts[C_DEADLINES])
        counts[[C_IDS_EVICTED, C_ORDERS_EVICTED, C_REFUND_EXCESS, C_DEADLINES]] = 0

    def _count_fates(self, fates: np.ndarray) -> None:
        counts = np.bincount(fates, minlength=REPLAYED + 1).tolist()
        counters = self.counters
        counters.consumed += len(fates)
        counters.applied += counts[APPLIED]
        counters.duplicate += counts[DUPLICATE]
        counters.ignored += counts[IGNORED]
        counters.replayed_skipped += counts[REPLAYED]
        for reason in Reason:
            counters.dead_lettered[reason] += counts[reason]

    def _set_aside(self, events: Events, parts: list[tuple[EventBatch, Int64s, int]]) -> None:
        fates = events.fate[events.order]
        for i in events.order[(fates > 0) & (fates <= max(Reason))].tolist():
            batch, at = _message(parts, i)
            reason = Reason(int(events.fate[i]))
            detail = batch.details.get(at) or DETAILS[reason]
            where = self.topics[batch.topic], self.partition, int(batch.offset[at])
            letter = DeadLetter(reason, detail, *where, batch.values[at] or b"", batch.envelope_of(at))
            self._dead_letters.append((int(events.row[i]), letter))


def _known(time_ms: int) -> int | None:
    return None if time_ms == NONE else time_ms


def _message(parts: list[tuple[EventBatch, Int64s, int]], i: int) -> tuple[EventBatch, int]:
    """Find the batch of message i of the joined columns, and its place there."""
    for batch, _, first in parts:
        if i < len(batch) - first:
            return batch, first + i
        i -= len(batch) - first
    raise IndexError(i)


def _events(
    parts: list[tuple[EventBatch, Int64s, int]],
    order: Int64s,
    watermark_ms: Int64s,
    waiting: Sequence[int],
    event_time_ms: Int64s,
    fate: np.ndarray,
) -> Events:
    return Events(
        order=order,
        watermark_ms=watermark_ms,
        topic=np.repeat(np.arange(len(waiting)), waiting),
        offset=column(parts, "offset"),
        fate=fate,
        type=column(parts, "type"),
        event_time_ms=event_time_ms,
        row=np.concatenate([rows[first:] for _, rows, first in parts]),
        event_id_hash=column(parts, "event_id_hash"),
        order_id_hash=column(parts, "order_id_hash"),
        amount_minor=column(parts, "amount_minor"),
        match=column(parts, "match"),
    )
