"""What the worker tells about itself. This file feeds the metrics, per batch or tick and never per event."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry

from flows.clock import Clock
from flows.freshness import Freshness
from flows.outbox_age import OutboxAge
from flows.progress import Progress
from scoring.commit_plan import NOWHERE, CommitPlan
from scoring.counters import Counters
from scoring.events import EventBatch
from scoring.policy import Policy
from sinks.claim import Claim
from sinks.metrics import LookUp, Metrics

if TYPE_CHECKING:  # Importing it compiles kernels, and metrics are served before that.
    from scoring.erasure import Erasure
    from scoring.shard import Shard

SLOW_PACE_MS = 5_000
"""Counting every user's rungs reads all rows, so it is not done at every tick."""


class Measure:
    """Translate what the stages see into metrics."""

    def __init__(self, policy: Policy, prefix: str, progress: Progress, clock: Clock) -> None:
        self._metrics = Metrics(prefix, program_version(), f"{policy.name}@{policy.version}")
        self._policy = policy
        self._progress = progress
        self._clock = clock
        self._known: set[int] = set()
        self._next_slow_ms = 0
        self._relayed = (0, 0)
        self._freshness = Freshness()
        self._outbox_age = OutboxAge()
        self._metrics.store_behind_seconds.set_function(lambda: progress.writing_ms() / 1000)
        for ladder in policy.ladders:
            self._metrics.expect_changes(ladder.name, [rung.name for rung in ladder.rungs])

    @property
    def registry(self) -> CollectorRegistry:
        """Give what /metrics shows."""
        return self._metrics.registry

    def shard_claimed(self, claim: Claim) -> None:
        """Note a shard that is ours from now on."""
        self._freshness.forget(claim.partition)
        self._next_slow_ms = 0
        self._metrics.users_new.labels(str(claim.partition))
        if claim.partitions is not None:
            self._metrics.input_partitions.set(claim.partitions)

    def batch_taken(self, batch: EventBatch) -> None:
        """Note messages that a shard has taken, to see when the store has them."""
        self._freshness.read(batch)

    def commit_made(self, plan: CommitPlan, seconds: float) -> None:
        """Note a commit that is in the store."""
        self._metrics.observe_commit(seconds, sum(len(block.users) for block in plan.blocks))
        self._metrics.observe_changes(block.users.changes for block in plan.blocks)
        new = sum(int(np.count_nonzero(block.users.committed_home == NOWHERE)) for block in plan.blocks)
        self._metrics.users_new.labels(str(plan.partition)).inc(new)
        now_ms = self._clock.wall_ms()
        age_ms = self._freshness.stored(plan.partition, plan.next_offset, now_ms)
        self._metrics.observe_visible(age_ms / 1000)
        if plan.partition in self._known:
            self._metrics.last_commit.labels(str(plan.partition)).set(now_ms / 1000)

    def looked_up(self, of: LookUp, seconds: float) -> None:
        """Note a look in the store that scoring waited for."""
        self._metrics.lookup_seconds.labels(of).observe(seconds)

    def user_erased(self, erasure: Erasure) -> None:
        """Note a user who has left the store."""
        self._metrics.users_erased.inc()
        self._metrics.observe_changes([erasure.changes])

    def commit_refused(self, error: Exception) -> None:
        """Note a commit that the store did not take, by the kind of its error."""
        self._metrics.store_errors.labels(type(error).__name__).inc()

    def shard_fenced(self) -> None:
        """Note a shard that another worker took."""
        self._metrics.shards_fenced.inc()

    def shard_rolled_back(self) -> None:
        """Note a shard that is loaded again because its store went back in time."""
        self._metrics.shards_reloaded.inc()

    def partition_stopped(self, partition: int, topic: str, is_stopped: bool) -> None:
        """Note whether a topic partition is stopped for its dead letters."""
        self._metrics.observe_stop(partition, topic, is_stopped)

    def counted(self, partition: int, shard: Shard) -> None:
        """Take over what a shard has counted since the last call."""
        counts, shard.counters = shard.counters, Counters()
        self._metrics.observe_counts(partition, counts)

    def shards_swept(self, shards: Mapping[int, Shard], wall_ms: int) -> None:
        """Note where all shards of ours are."""
        for partition, shard in shards.items():
            self.counted(partition, shard)
            if shard.watermark_ms is not None:
                self._metrics.observe_watermark(partition, (wall_ms - shard.watermark_ms) / 1000)
        self._metrics.owned_partitions.set(len(shards))
        for partition in self._known - shards.keys():
            self._metrics.forget_shard(partition)
            self._freshness.forget(partition)
        self._known = set(shards)
        if self._clock.monotonic_ms() >= self._next_slow_ms:
            self._next_slow_ms = self._clock.monotonic_ms() + SLOW_PACE_MS
            self._count_users(shards, wall_ms)

    def entries_stored(self, partition: int, last_id: str) -> None:
        """Note entries of an outbox, up to this one, that are to be published."""
        self._outbox_age.add(partition, last_id, self._clock.monotonic_ms())

    def outbox_left(self, partition: int) -> None:
        """Note an outbox that is not ours to publish any more."""
        self._outbox_age.forget(partition)

    def published(self, total: int, failures: int) -> None:
        """Note how many entries the relay has published, and how many attempts failed, since its start."""
        self._metrics.entries_published.inc(total - self._relayed[0])
        self._metrics.publish_failures.inc(failures - self._relayed[1])
        self._relayed = (total, failures)
        self._metrics.outbox_full.set(self._progress.is_outbox_full)
        for partition in self._known:
            account = self._progress.shards.get(partition)
            self._metrics.outbox_pending.labels(str(partition)).set(account.pending if account else 0)
            delivered = account.delivered if account else None
            oldest_ms = self._outbox_age.oldest_ms(partition, delivered, self._clock.monotonic_ms())
            self._metrics.outbox_oldest_seconds.labels(str(partition)).set(oldest_ms / 1000)

    def lag_seen(self, partition: int, topic: int, name: str, messages: int) -> None:
        """Note how many messages of a topic partition the store lacks."""
        if partition in self._known:
            lag_ms = self._freshness.lag_ms(partition, topic, messages, self._clock.wall_ms())
            self._metrics.observe_lag(partition, name, messages, lag_ms / 1000)
            # Said without a limit, too: 0 is an answer, and nothing is none.
            self._metrics.observe_stop(partition, name, (partition, topic) in self._progress.stopped)

    def _count_users(self, shards: Mapping[int, Shard], wall_ms: int) -> None:
        for partition, shard in shards.items():
            # No deadline of a user is earlier than `due`; all up to the watermark have just been fired.
            behind = int(np.count_nonzero(shard.users.state.due[: len(shard.users)] <= wall_ms))
            self._metrics.deadlines_behind.labels(str(partition)).set(behind)
            self._metrics.shard_users.labels(str(partition)).set(len(shard.users) + shard.users.cold.away)
            self._metrics.shard_users_in_memory.labels(str(partition)).set(len(shard.users))
            for ladder, users in zip(self._policy.ladders, shard.users.rung_counts(), strict=True):
                rungs = [rung.name for rung in ladder.rungs]
                self._metrics.observe_rungs(partition, ladder.name, rungs, users)


def program_version() -> str:
    """Answer the version of the installed program, or `dev` where it runs from its sources."""
    try:
        return version("tierwise")
    except PackageNotFoundError:
        return "dev"
