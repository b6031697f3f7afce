"""Which shards are ours. This file follows Kafka's consumer group, claiming and releasing shards."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.connection import Heard
from flows.items import Claimed, Released
from flows.log import log
from flows.patience import BrokerUnavailable
from flows.progress import Progress
from flows.start_offsets import ReadingRefused
from flows.topic_guard import TopicGuard
from sinks.claim import Claim
from sinks.errors import StoreError
from sinks.shard_store import ShardStore

GROUP_SETTINGS: dict[str, str | int | bool] = {
    # `range` hands the same partition numbers of all topics to the same member, which a shard needs.
    # `cooperative-sticky` does not promise that (and split the topics of one shard when we tried it).
    "partition.assignment.strategy": "range",
    "enable.auto.commit": False,
    # Start offsets come from the store alone; an offset that the topic does not hold any more is an error.
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 50_000,
}


class OffsetOutOfRange(Exception):
    """Say that Kafka does not have the offset at which a topic partition was to be read on."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic} partition {partition}: Kafka does not have offset {offset}")
        self.topic, self.partition, self.offset = topic, partition, offset


class GroupRefused(Exception):
    """Say why the broker does not let us into the consumer group, and what to do."""


def open_consumer(kafka: Mapping[str, str], group: str, heard: Heard | None = None) -> Consumer:
    """
    Connect a consumer that reads what it is told and commits nothing by itself.

    Args:
        heard: takes the errors of its connections, which are logged otherwise.
    """
    settings: dict[str, Any] = {**GROUP_SETTINGS, **kafka, "group.id": group, **_fixed_settings()}
    if heard is not None:
        settings |= {"error_cb": heard, "log_level": 0}
    return Consumer(settings, logger=logging.getLogger("tierwise.consumer"))


def _fixed_settings() -> dict[str, str | int | bool]:
    fixed = (
        "partition.assignment.strategy",
        "enable.auto.commit",
        "auto.offset.reset",
        "enable.partition.eof",
    )
    return {name: GROUP_SETTINGS[name] for name in fixed}


class Membership:
    """
    Subscribe, and turn the group's decisions into control items.

    The callbacks run inside Consumer.consume(), so on the thread of the source. Each assignment claims its
    shards, which fences every earlier owner: a clean hand-over is a courtesy, not what correctness rests on.

    Args:
        forward: told which partitions are about to be assigned.
        guard: says whether the topics still are those that the stored offsets are of.
        announce: told of every assignment, with the partition numbers.
        settle: waits until nothing is being written, so that a claim does not meet a write of the claim before.
        hand_over: takes shards through all stages that are to be given back, while they are still ours.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: ShardStore,
        topics: Sequence[str],
        progress: Progress,
        forward: Callable[[list[TopicPartition]], None],
        guard: TopicGuard,
        announce: Callable[[list[int]], None],
        settle: Callable[[], None],
        hand_over: Callable[[list[Released]], None],
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._topics = tuple(topics)
        self._progress = progress
        self._forward = forward
        self._guard = guard
        self._announce = announce
        self._settle = settle
        self._hand_over = hand_over
        self._claims: dict[int, Claim] = {}
        self._news: list[Claimed] = []
        self._has_changed = False
        self._is_leaving = False

    @property
    def partitions(self) -> list[int]:
        """List the partition numbers that the group gave us."""
        return sorted(self._claims)

    def subscribe(self) -> None:
        """Join the group; the first assignment arrives during a later consume()."""
        self._consumer.subscribe(
            list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def rejoin(self) -> None:
        """Leave and join again, so that the group decides anew who owns what."""
        self._consumer.unsubscribe()
        self.subscribe()

    def leave(self) -> None:
        """Leave the group, with nothing left to hand over, so that others take over at once."""
        self._is_leaving = True
        self._claims.clear()
        self._consumer.close()

    def take_news(self) -> list[Claimed]:
        """Answer what was claimed since the last call, oldest first."""
        news, self._news = self._news, []
        return news

    def has_changed(self) -> bool:
        """Tell, once, whether the membership changed during the last consume()."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def read_again(self) -> None:
        """Read on where the claims say, for the case that something was read and dropped."""
        if self._claims:
            self._consumer.assign(self._start_offsets(self._claims))

    def reload(self, partitions: Iterable[int]) -> None:
        """Claim shards anew whose store went back in time, and read again from where it stands now."""
        lost = sorted(set(partitions) & set(self._claims))
        self._claim_all(lost)
        for start in self._start_offsets(lost):
            self._consumer.seek(start)

    def watch(self) -> None:
        """Look, now and then, whether the topics are still the same; ReadingRefused when they are not."""
        if self._claims:
            self._guard.watch()

    def _on_assign(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        if self._is_leaving:
            # It was on its way; what it names is the next owner's, and nobody would read it.
            self._consumer.assign([])
            return
        partitions = sorted({one.partition for one in assigned})
        self._has_changed = True
        self._settle()
        try:
            self._claim_all(partitions)
        except (StoreError, ReadingRefused, BrokerUnavailable, KafkaException) as error:
            self._progress.fail(error)
            return
        starts = self._start_offsets(partitions)
        self._forward(starts)
        self._consumer.assign(starts)
        self._progress.assigned = True
        self._announce(partitions)

    def _on_revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._has_changed = True
        self._progress.assigned = False
        log("info", "partitions.revoked", partitions=sorted({one.partition for one in revoked}))
        self._release_all()
        self._consumer.unassign()  # From here on the group goes on, and the next owner may claim.

    def _claim_all(self, partitions: Sequence[int]) -> None:
        if partitions:
            self._guard.look(partitions)
        for partition in partitions:
            self._claim(partition)

    def _claim(self, partition: int) -> None:
        claim = self._store.claim(partition)
        self._guard.place(claim)
        self._claims[partition] = claim
        self._progress.claimed(partition, [claim.offsets.get(topic) for topic in self._topics])
        self._news.append(Claimed(claim))
        log(
            "info",
            "shard.claimed",
            shard=partition,
            number=claim.number,
            offsets=claim.offsets or None,
            restore_refused=claim.restore_refusal,
        )

    def _release_all(self) -> None:
        if self._claims:
            self._hand_over([Released(partition) for partition in self._claims])
        for partition in self._claims:
            self._progress.released(partition)
        self._claims.clear()
        self._news.clear()

    def _start_offsets(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition, self._claims[partition].offsets[topic])
            for partition in partitions
            for topic in self._topics
        ]


def raise_consumer_error(error: KafkaError, topic: str | None, partition: int, offset: int) -> None:
    """Raise what reading cannot go on after; librdkafka heals everything else by itself."""
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise OffsetOutOfRange(topic or "", partition, offset)
    if remedy := REMEDIES.get(error.code()):
        raise GroupRefused(f"{error.str()}: {remedy}")
    if error.fatal() or error.code() in UNREADABLE:
        raise KafkaException(error)
    log("warn", "consumer.failed", topic=topic, partition=partition, error=error.str())


UNREADABLE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
)

REMEDIES = {
    KafkaError.INVALID_SESSION_TIMEOUT: "set kafka.session.timeout.ms between the broker's "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "the group has members that are no tierwise workers; set another group",
}
"""librdkafka would try to join for ever."""
