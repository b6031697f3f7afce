"""This file holds every metric, and one method for each thing that is observed once a batch."""

import re
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Literal, Protocol, get_args

import numpy as np
import prometheus_client
from numpy.typing import NDArray
from prometheus_client import Gauge, Histogram, ProcessCollector

from scoring.change_kinds import kinds_of
from scoring.events import LadderChange, Reason
from sinks.errors import NotCopartitioned, StoreError, StoreRefused, StoreUnavailable
from sinks.exposition import BatchHistogram, WholeRegistry

_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_VISIBLE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
"""2.5 is what the objective of docs/operations.md asks."""
_COMMIT_USERS = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000)
LookUp = Literal["users", "erasures"]
"""What scoring looks for in the store: users who are not in memory, or requests to erase."""
_FATAL = (StoreError, StoreRefused, StoreUnavailable, NotCopartitioned)
_WAYS = (
    *(("up", cause) for cause in ("event", "refund", "policy")),
    *(("down", cause) for cause in ("event", "time", "refund", "policy", "erase")),
)


class Counts(Protocol):
    """What a shard has counted since the last look (scoring's Counters has this shape)."""

    consumed: int
    applied: int
    duplicate: int
    ignored: int
    dead_lettered: dict[Reason, int]
    replayed_skipped: int
    duplicates_evicted: int
    orders_evicted: int
    refund_excess: int
    deadlines_fired: int


class Metrics:
    """
    Own a registry with the metrics of one worker; no metric names a user.

    Args:
        prefix: from settings; what a metric name cannot hold becomes an underscore.
        version: of the program.
        policy: label of the policy, `ecommerce@1`.
    """

    def __init__(self, prefix: str = "tierwise", version: str = "", policy: str = "") -> None:
        self.registry = WholeRegistry()
        self._prefix = re.sub(r"[^a-zA-Z0-9_]", "_", prefix)
        ProcessCollector(namespace=self._prefix, registry=self.registry)
        self._add_conservation_law()
        self._add_scoring()
        self._add_progress()
        self._add_commit()
        build = self._gauge(
            "build_info", "Version of the program and its policy, always 1.", "version", "policy"
        )
        build.labels(version, policy).set(1)

    def observe_counts(self, partition: int, delta: Counts) -> None:
        """Add what a shard has counted since the last call."""
        shard = str(partition)
        with self.registry.lock:
            self.messages_consumed.labels(shard).inc(delta.consumed)
            self.messages_applied.labels(shard).inc(delta.applied)
            self.messages_duplicate.labels(shard).inc(delta.duplicate)
            self.messages_ignored.labels(shard).inc(delta.ignored)
            self.messages_replayed_skipped.labels(shard).inc(delta.replayed_skipped)
            for reason, count in delta.dead_lettered.items():
                self.messages_dead_lettered.labels(shard, Reason(reason).label).inc(count)
            self.duplicates_evicted.inc(delta.duplicates_evicted)
            self.orders_evicted.inc(delta.orders_evicted)
            self.refund_excess.inc(delta.refund_excess)
            self.deadlines_fired.inc(delta.deadlines_fired)

    def expect_changes(self, ladder: str, rungs: Sequence[str]) -> None:
        """Show all that can happen on a ladder as 0, so that a query sees the first time, too."""
        for direction, cause in _WAYS:
            self.ladder_changes.labels(ladder, direction, cause)
        for left, reached in [*permutations(rungs, 2), *((rung, "") for rung in rungs)]:
            self.ladder_transitions.labels(ladder, left, reached)

    def observe_changes(self, parts: Iterable[Sequence[LadderChange]]) -> None:
        """Count committed changes by ladder, direction and cause, and by the rungs they lead from and to."""
        for kind, count in kinds_of(parts).items():
            self.ladder_changes.labels(kind.ladder, kind.direction, kind.cause).inc(count)
            self.ladder_transitions.labels(kind.ladder, kind.left, kind.reached).inc(count)

    def observe_commit(self, seconds: float, users: int) -> None:
        """Record one commit of a shard, all its chunks together."""
        self.commit_seconds.observe(seconds)
        self.commit_users.observe(users)

    def observe_visible(self, seconds: NDArray[np.float64]) -> None:
        """Record for each message of a commit how long it took from Kafka's timestamp to the store."""
        with self.registry.lock:
            self.event_to_visible_seconds.observe(seconds)

    def observe_rungs(self, partition: int, ladder: str, rungs: Sequence[str], users: Sequence[int]) -> None:
        """Record how many of a shard's users stand on each rung."""
        for rung, count in zip(rungs, users, strict=True):
            self.rung_users.labels(str(partition), ladder, rung).set(count)

    def observe_shard(self, partition: int, *, users: int, outbox_pending: int) -> None:
        """Record the size of a shard and of what it still has to publish."""
        self.shard_users.labels(str(partition)).set(users)
        self.outbox_pending.labels(str(partition)).set(outbox_pending)

    def observe_lag(self, partition: int, topic: str, messages: int, seconds: float) -> None:
        """Record how many messages of a topic partition the store still lacks, and how old the first of them is."""
        self.lag_messages.labels(str(partition), topic).set(messages)
        self.lag_seconds.labels(str(partition), topic).set(seconds)

    def observe_stop(self, partition: int, topic: str, is_stopped: bool) -> None:
        """Record whether a topic partition is stopped for its dead letters."""
        self.partition_stopped.labels(str(partition), topic).set(is_stopped)

    def observe_watermark(self, partition: int, lag_seconds: float) -> None:
        """Record how far a shard's watermark is behind the wall clock."""
        self.watermark_lag_seconds.labels(str(partition)).set(lag_seconds)

    def forget_shard(self, partition: int) -> None:
        """Drop the gauges of a shard that is not ours any more."""
        for gauge in (
            self.rung_users,
            self.shard_users,
            self.shard_users_in_memory,
            self.outbox_pending,
            self.outbox_oldest_seconds,
            self.lag_messages,
            self.lag_seconds,
            self.partition_stopped,
            self.watermark_lag_seconds,
            self.deadlines_behind,
            self.last_commit,
        ):
            gauge.remove_by_labels({"shard": str(partition)})

    def _add_conservation_law(self) -> None:
        """Count so that consumed = applied + duplicate + ignored + dead_lettered + replayed_skipped."""
        self.messages_consumed = self._counter("messages_consumed", "Messages taken from the input.", "shard")
        self.messages_applied = self._counter("messages_applied", "Events applied to a user.", "shard")
        self.messages_duplicate = self._counter(
            "messages_duplicate", "Events that were applied before.", "shard"
        )
        self.messages_ignored = self._counter(
            "messages_ignored", "Events of types the policy does not score.", "shard"
        )
        self.messages_dead_lettered = self._counter(
            "messages_dead_lettered", "Messages set aside, by reason.", "shard", "reason"
        )
        self.messages_replayed_skipped = self._counter(
            "messages_replayed_skipped", "Messages read again that the user's row already holds.", "shard"
        )

    def _add_scoring(self) -> None:
        self.duplicates_evicted = self._counter(
            "duplicates_evicted", "Event ids that left a full duplicate memory before their time."
        )
        self.orders_evicted = self._counter("orders_evicted", "Orders that left a user's full order memory.")
        self.refund_excess = self._counter("refund_excess", "Refunds cut to what was left of their order.")
        self.deadlines_fired = self._counter("deadlines_fired", "Deadlines that changed a rung.")
        self.ladder_changes = self._counter(
            "ladder_changes", "Committed ladder changes.", "ladder", "direction", "cause"
        )
        self.ladder_transitions = self._counter(
            "ladder_transitions",
            "Committed ladder changes, by the rungs they lead from and to; to nowhere when the user was erased.",
            "ladder",
            "from",
            "to",
        )
        self.deadlines_behind = self._gauge(
            "deadlines_behind",
            "Users for whom a deadline may be due by the wall clock, and not by the watermark.",
            "shard",
        )
        self.users_new = self._counter("users_new", "Users that the store did not have before.", "shard")
        self.users_erased = self._counter("users_erased", "Users erased on request.")
        self.rung_users = self._gauge("rung_users", "Users on a rung.", "shard", "ladder", "rung")
        self.shard_users = self._gauge("shard_users", "Users in a shard.", "shard")
        self.shard_users_in_memory = self._gauge(
            "shard_users_in_memory", "Users of a shard whose rows the worker holds.", "shard"
        )

    def _add_progress(self) -> None:
        self.lag_messages = self._gauge("lag_messages", "Messages that the store lacks.", "shard", "topic")
        self.lag_seconds = self._gauge(
            "lag_seconds",
            "Age of the first message that the store lacks, 0 when it has all.",
            "shard",
            "topic",
        )
        self.watermark_lag_seconds = self._gauge(
            "watermark_lag_seconds", "Wall clock less the shard's watermark.", "shard"
        )
        self.partition_stopped = self._gauge(
            "partition_stopped",
            "1 while nothing is read of a topic partition because of its dead letters.",
            "shard",
            "topic",
        )
        self.owned_partitions = self._gauge("owned_partitions", "Partitions this worker owns.")
        self.input_partitions = self._gauge(
            "input_partitions", "Partitions that each input topic has, 0 before the first claim."
        )
        self.event_to_visible_seconds = BatchHistogram(
            self._name("event_to_visible_seconds"),
            "From a message's Kafka timestamp to the moment when the store has all that came of it.",
            _VISIBLE_SECONDS,
            self.registry,
        )

    def _add_commit(self) -> None:
        self.commit_seconds = Histogram(
            self._name("commit_seconds"),
            "Time of one commit of a shard.",
            buckets=_COMMIT_SECONDS,
            registry=self.registry,
        )
        self.commit_users = Histogram(
            self._name("commit_users"),
            "Users written by one commit.",
            buckets=_COMMIT_USERS,
            registry=self.registry,
        )
        self.lookup_seconds = Histogram(
            self._name("lookup_seconds"),
            "Time of one look in the store that scoring waited for.",
            ("of",),
            buckets=_COMMIT_SECONDS,
            registry=self.registry,
        )
        for kind in get_args(LookUp):
            self.lookup_seconds.labels(kind)
        self.last_commit = self._gauge(
            "last_commit_timestamp_seconds", "When the store took the last commit of a shard.", "shard"
        )
        self.store_behind_seconds = self._gauge(
            "store_behind_seconds",
            "For how long the store has been at what it was given last, 0 when it has all.",
        )
        self.store_errors = self._counter(
            "store_errors", "Commits that ended in an error, by its kind.", "error"
        )
        for fatal in _FATAL:
            self.store_errors.labels(fatal.__name__)
        self.shards_fenced = self._counter(
            "shards_fenced", "Shards dropped because another worker took them."
        )
        self.shards_reloaded = self._counter("shards_reloaded", "Shards loaded again after a store rollback.")
        self.outbox_pending = self._gauge(
            "outbox_pending", "Entries in the outbox that are not confirmed.", "shard"
        )
        self.outbox_oldest_seconds = self._gauge(
            "outbox_oldest_seconds",
            "For how long this worker has had the oldest entry that is not confirmed.",
            "shard",
        )
        self.outbox_full = self._gauge(
            "outbox_full", "1 while nothing is read, since too many entries are not confirmed."
        )
        self.entries_published = self._counter("entries_published", "Outbox entries confirmed by the broker.")
        self.publish_failures = self._counter(
            "publish_failures", "Deliveries that failed and are tried again."
        )

    def _name(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(self._name(name), text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(self._name(name), text, labels, registry=self.registry)
