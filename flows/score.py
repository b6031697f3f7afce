"""This file is the score stage: it holds the shards that are ours, feeds them, and asks what they changed."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from flows.clock import Clock
from flows.gathering import Gathering
from flows.items import AtEnd, Claimed, Decoded, Due, Erased, Released, Scored, Tick
from flows.log import log
from flows.measure import Measure
from flows.progress import WRITING_MAX_MS, Progress
from flows.turns import AT_ONCE
from scoring.commit_plan import CommitPlan
from scoring.events import EventBatch
from scoring.shard import Shard
from sinks.claim import Claim
from sinks.errors import StoreFenced, StoreRolledBack, StoreUnavailable
from sinks.metrics import LookUp
from sinks.shard_store import ShardStore

ERASE_REQUESTS_MS = 500
"""How often the store is asked for users to be erased."""
LOOK_MS = 10_000
"""How often those users are looked for who may leave memory; also when there are twice as many as then."""
LOOKS_MS_MAX = 20
"""So long scoring waits for looks at one Tick, and for the last of them."""
LARGE_USERS = 20_000
"""To make a plan of so many users ready takes as long as a commit interval, and its memory tens of megabytes."""
Found = TypeVar("Found")
LoadShard = Callable[[Claim, ShardStore, Callable[[], None]], Shard]
"""Make a claimed shard from the store; the last argument is to be called now and then, as a sign of life."""


@dataclass(slots=True)
class _Held:
    """
    One shard of ours, and how quiet its topics are.

    Attributes:
        gathering: what was read since changes were handed to the writer.
        settled: number of a write behind which nobody was written who is not in memory.
        looked_ms, users_then: when it was last looked who may leave memory, and how many were there.
        planned: number of the last plan, among those of all shards.
    """

    claim: Claim
    shard: Shard
    at_end: list[bool]
    gathering: Gathering
    heard_ms: list[int]
    settled: int
    looked_ms: int
    users_then: int
    planned: int = 0

    def is_gathering(self, now_ms: int, wall_ms: int) -> bool:
        """Tell whether changes may wait for more events."""
        return self.gathering.goes_on(now_ms, wall_ms, self.shard.change_count)

    def hand_over(self) -> CommitPlan | None:
        """Take what has changed, to be written."""
        self.gathering = Gathering.of(len(self.at_end))
        return self.shard.take_commit()


class Score:
    """
    Feed decoded batches to their shards and, at each Tick, hand on what they changed.

    Args:
        load: makes a claimed shard from the store.
        idle_after_ms: silence after which a topic at its end no longer holds time back; None is never.
        out_of_orderness_ms: how far a wholly silent shard's watermark stays behind the wall clock.
    """

    def __init__(
        self,
        store: ShardStore,
        load: LoadShard,
        progress: Progress,
        clock: Clock,
        measure: Measure,
        *,
        topic_count: int,
        idle_after_ms: int | None,
        out_of_orderness_ms: int,
    ) -> None:
        self._store = store
        self._load = load
        self._progress = progress
        self._clock = clock
        self._measure = measure
        self._topic_count = topic_count
        self._idle_after_ms = idle_after_ms
        self._out_of_orderness_ms = out_of_orderness_ms
        self._held: dict[int, _Held] = {}
        self._parked: dict[int, _Held] = {}
        self._look_for_requests_ms = 0
        self._planned = 0
        """How many plans the writer was given or is about to be given."""

    def __call__(self, items: Sequence[Decoded]) -> list[Due]:
        """Take one batch of items."""
        due: list[Due] = []
        fed: set[int] = set()
        for item in items:
            match item:
                case EventBatch():
                    held = self._held.get(item.partition)
                    if held and self._take_back(held, held.shard.add(item)):
                        self._measure.batch_taken(item)
                        held.at_end[item.topic] = False
                        held.heard_ms[item.topic] = now_ms = self._clock.monotonic_ms()
                        newest_ms = int(item.ingest_time_ms.max(initial=0))
                        held.gathering.note_read(item.topic, newest_ms, now_ms)
                        fed.add(item.partition)
                case AtEnd():
                    if held := self._held.get(item.partition):
                        held.at_end[item.topic] = True
                        held.gathering.note_end(item.topic)
                        held.shard.reach(item.topic, item.offset)
                        fed.add(item.partition)
                case Claimed(claim):
                    if self._take(claim):
                        due.append(item)
                case Released(partition):
                    self._advance(fed & {partition})
                    due += self._plans([partition])
                    self._park(partition)
                    due.append(item)
                case Tick():
                    self._advance(fed)
                    fed.clear()
                    if not due:
                        self._let_go()
                    due += self._tick(item)
        self._advance(fed)
        return due

    def _take(self, claim: Claim) -> bool:
        """Load a shard; tell whether it is the one that was claimed."""
        started_ms = self._clock.monotonic_ms()
        shard = self._unparked(claim)
        event = "shard.kept" if shard else "shard.loaded"
        if shard is None:
            shard = self._load(claim, self._store, self._progress.beat)
            if not self._is_ours(claim, partial(self._store.confirm, claim)):
                return False
        now_ms = self._clock.monotonic_ms()
        self._held[claim.partition] = _Held(
            claim,
            shard,
            at_end=[False] * self._topic_count,
            gathering=Gathering.of(self._topic_count),
            heard_ms=[now_ms] * self._topic_count,
            settled=claim.number,
            looked_ms=now_ms,
            users_then=len(shard.users),
        )
        self._measure.shard_claimed(claim)
        if account := self._progress.shards.get(claim.partition):
            account.loaded = True
        users, cold = len(shard.users), shard.users.cold.away
        log("info", event, shard=claim.partition, users=users, cold=cold, ms=now_ms - started_ms)
        return True

    def _is_ours(self, claim: Claim, ask: Callable[[], object]) -> bool:
        """Ask the store for something, and take note if the shard turns out not to be ours, or not as we left it."""
        try:
            ask()
        except StoreFenced as error:
            self._progress.lost(claim.partition)
            log("warn", "load.fenced", shard=claim.partition, action="drop", error=error)
            return False
        except StoreRolledBack as error:
            self._progress.rolled_back.add(claim.partition)
            log("warn", "load.overtaken", shard=claim.partition, action="load again", error=error)
            return False
        return True

    def _take_back(self, held: _Held, user_ids: Sequence[bytes]) -> bool:
        """Read users back who have left memory, if any of these has; False when the shard is lost."""
        claim, shard = held.claim, held.shard
        found: dict[bytes, bytes] = {}
        if user_ids and not self._is_ours(
            claim,
            lambda: found.update(
                self._look("users", lambda: self._store.find_cold(claim, held.settled, user_ids))
            ),
        ):
            self._held.pop(claim.partition)
            return False
        if found:
            shard.take_back(list(found), list(found.values()))
        return True

    def _look(self, of: LookUp, ask: Callable[[], Found]) -> Found:
        """Look for something in the store, and note how long scoring waited for it."""
        started_s = time.monotonic()
        try:
            return ask()
        finally:
            self._measure.looked_up(of, time.monotonic() - started_s)

    def _let_go(self) -> None:
        """
        Let users leave memory, or rest there, where the store has everything that was handed over.

        Scoring waits meanwhile: a shard that would make it wait for long has its turn at the next Tick.
        """
        now_ms = self._clock.monotonic_ms()
        due = [
            held
            for held in self._held.values()
            if held.planned <= self._progress.done
            and (now_ms - held.looked_ms >= LOOK_MS or len(held.shard.users) >= 2 * held.users_then)
        ]
        for held in sorted(due, key=lambda one: one.looked_ms):
            if self._clock.monotonic_ms() - now_ms > LOOKS_MS_MAX:
                break
            users, held.settled = len(held.shard.users), held.claim.number
            if gone := held.shard.let_go():
                log("debug", "users.left", shard=held.claim.partition, users=gone, kept=users - gone)
            held.looked_ms, held.users_then = now_ms, len(held.shard.users)

    def _park(self, partition: int) -> None:
        """
        Keep a shard that was given back in memory until the next assignment, which may bring it again.

        Every rebalance takes all shards from everybody, and gives most of them back to where they were.
        """
        held = self._held.pop(partition, None)
        if held is None:
            return
        self._measure.counted(partition, held.shard)
        if not any(held.shard.pending(topic) for topic in range(self._topic_count)):
            self._parked[partition] = held

    def _unparked(self, claim: Claim) -> Shard | None:
        """Take a parked shard back if nobody has touched it: the last claim and the last write are ours."""
        held = self._parked.pop(claim.partition, None)
        settled = self._progress.settled.pop(claim.partition, None)
        if held is None or settled != held.claim.token:
            return None
        if claim.earlier_tokens[:1] != (settled,) or claim.number != held.claim.number:
            return None
        return held.shard

    def _advance(self, partitions: set[int]) -> None:
        for partition in sorted(partitions & self._held.keys()):
            held = self._held[partition]
            held.shard.advance(held.at_end, self._idle(held))
            if account := self._progress.shards.get(partition):
                account.waiting = [held.shard.pending(topic) for topic in range(self._topic_count)]

    def _tick(self, tick: Tick) -> list[Due]:
        for partition in [one for one in self._held if one not in self._progress.shards]:
            del self._held[partition]  # Another owner has it.
        if self._progress.assigned:
            self._parked.clear()  # The assignment is here, and it did not bring them back.
        for held in self._held.values():
            if self._progress.is_listening:
                self._sweep(held, tick.wall_ms)
            else:  # What waits unread may be older than the clock.
                held.heard_ms = [self._clock.monotonic_ms()] * self._topic_count
        plans, erased = [], []
        if tick.draining:
            plans = self._plans(self._held)
        elif not self._progress.is_writing:
            # Otherwise changes gather until the writer is free: users of more events share a write.
            due = self._bounded(self._due(tick.wall_ms))
            plans, erased = self._plans(due), self._erased(due)
        elif self._progress.writing_ms() > WRITING_MAX_MS and not self._progress.has_waiting_plans:
            # Nothing is read meanwhile: what takes long to be made ready is, for the store not to wait for it.
            plans = self._plans(self._bounded(one for one in self._due(tick.wall_ms) if self._is_large(one)))
        self._measure.shards_swept({one: held.shard for one, held in self._held.items()}, tick.wall_ms)
        return [*plans, *erased, tick]

    def _due(self, wall_ms: int) -> list[int]:
        """Answer the shards whose changes do not wait for more events, those first that have waited longest."""
        now_ms = self._clock.monotonic_ms()
        due = [one for one, held in self._held.items() if not held.is_gathering(now_ms, wall_ms)]
        return sorted(due, key=lambda one: self._held[one].gathering.since_ms)

    def _is_large(self, partition: int) -> bool:
        return self._held[partition].shard.users.dirty_count > LARGE_USERS

    def _bounded(self, partitions: Iterable[int]) -> list[int]:
        """Answer all small ones of these shards, and as many large ones as are written in turns."""
        chosen, large = [], 0
        for one in partitions:
            large += self._is_large(one)
            if not self._is_large(one) or large <= AT_ONCE:
                chosen.append(one)
        return chosen

    def _erased(self, partitions: Sequence[int]) -> list[Due]:
        """Erase, behind everything that was scored before and is on its way now, whom somebody wants erased."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._look_for_requests_ms:
            return []
        self._look_for_requests_ms = now_ms + ERASE_REQUESTS_MS
        held_now = [self._held[one] for one in partitions]
        if not held_now:
            return []
        claims = [held.claim for held in held_now]
        try:
            requests = self._look("erasures", partial(self._store.erase_requests, claims))
        except StoreUnavailable as error:
            # The next commit waits for the store; this can wait for the next look.
            log("warn", "erase_requests.unread", error=error)
            return []
        erased: list[Due] = []
        for held, user_ids in zip(held_now, requests, strict=True):
            if user_ids and self._take_back(held, held.shard.meet(user_ids)):
                erased += [Erased(held.shard.erase(user_id)) for user_id in user_ids]
        return erased

    def _sweep(self, held: _Held, wall_ms: int) -> None:
        """Let deadlines fire that the stream, or in its silence the clock, has passed."""
        idle = self._idle(held)
        held.shard.advance(held.at_end, idle)
        watermark_ms = held.shard.watermark_ms
        if all(idle):
            quiet_ms = wall_ms - self._out_of_orderness_ms
            watermark_ms = quiet_ms if watermark_ms is None else max(watermark_ms, quiet_ms)
        if watermark_ms is not None:
            held.shard.fire(watermark_ms)

    def _idle(self, held: _Held) -> list[bool]:
        if self._idle_after_ms is None:
            return [False] * self._topic_count
        silent_since_ms = self._clock.monotonic_ms() - self._idle_after_ms
        return [
            ended and heard_ms <= silent_since_ms
            for ended, heard_ms in zip(held.at_end, held.heard_ms, strict=True)
        ]

    def _plans(self, partitions: Iterable[int]) -> list[Scored]:
        plans = []
        for held in [self._held[one] for one in partitions if one in self._held]:
            if (plan := held.hand_over()) is not None:
                self._planned += 1
                held.planned = self._planned
                plans.append(Scored(plan))
        return plans
