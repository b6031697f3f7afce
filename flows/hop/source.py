"""The topic that is copied, as the group shares it. This file reads on from where the group has committed."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.hop.merge import Merge
from flows.log import log
from flows.membership import UNREADABLE
from flows.stop import StopFlag

ATTEMPT_S = 5.0
OFFSET_UNKNOWN = 2**63
DEFAULTS: dict[str, str | int] = {
    # The merge waits until a partition says that it is at its end, which a broker does after this time.
    "fetch.wait.max.ms": 50,
}
FIXED: dict[str, str | bool] = {
    "enable.auto.commit": False,
    # Offsets are the group's alone; one that the topic does not hold any more is an error.
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    # Also makes a new owner wait for the offsets of a transaction whose end is not known yet.
    "isolation.level": "read_committed",
}


class CopyGap(Exception):
    """Say that messages were deleted before they were copied."""


class SourceTopic:
    """
    Read the partitions that the group gives this process.

    The callbacks run inside Consumer.consume(), so on the thread of the reader.

    Args:
        finish: commits what is in hand, before its partitions go to another process.
        drop: gives up what is in hand, since its partitions are with another process already.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        topic: str,
        group: str,
        stop: StopFlag,
        finish: Callable[[], None],
        drop: Callable[[], None],
    ) -> None:
        config = {**DEFAULTS, **kafka, **FIXED, "group.id": group}
        self._consumer = Consumer(config, logger=logging.getLogger("tierwise.consumer"))
        self._topic = topic
        self._stop = stop
        self._finish = finish
        self._drop = drop
        self._partitions: list[int] | None = None
        self._ended: set[int] = set()
        self._end: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._merge = Merge()
        self._paused: set[int] = set()
        self._has_changed = False
        self.member: Any = None
        """
        Who we were in the group when it gave us our partitions; goes with every commit of offsets.

        Kept, not asked for at each commit: all that is in hand was read as this member of this generation, so
        the broker must refuse it once the group has moved on, whether or not we have heard of that.
        """

    @property
    def is_at_end(self) -> bool:
        """Tell whether all was handed over that our partitions held when we began to read them."""
        return self._partitions is not None and self._ended.issuperset(self._partitions)

    def join(self) -> None:
        """Join the group; the first assignment arrives during a later read."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def read(self, count: int, timeout_s: float) -> list[Any]:
        """Answer the next messages, by time; none when the assignment changed: they may be another process's."""
        self._has_changed = False
        # Without partitions there is nothing to read, and messages of the call that brings some are dropped.
        messages = self._consumer.consume(count if self._partitions else 1, timeout_s)
        if self._has_changed:
            if messages:
                self.rewind()
            return []
        for message in messages:
            if message.error() is None:
                self._add(message)
            else:
                self._heed(message)
        taken = self._merge.take(_now_ms())
        self._note_ends(taken)
        self._steer()
        return taken

    def note_committed(self, offsets: Mapping[int, int]) -> None:
        """Hear up to where partitions are done with."""
        self._committed |= offsets

    def behind(self) -> dict[int, int] | None:
        """
        Count, for each of our partitions, the messages that are not committed, as far as fetches have told.

        None while the group has not spoken.
        """
        if self._partitions is None:
            return None
        drained = self._merge.drained()
        return {one: 0 if one in drained else self._behind(one) for one in self._partitions}

    def rewind(self) -> None:
        """Read again from what is committed."""
        if self._partitions:
            self._begin(self._partitions)

    def leave(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    def _on_assign(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._has_changed = True
        self._partitions = sorted(one.partition for one in assigned)
        self.member = self._consumer.consumer_group_metadata()
        self._begin(self._partitions)
        log("info", "partitions.assigned", reads=self._topic, owns=self._partitions or "none")

    def _on_revoke(self, _consumer: Consumer, _revoked: list[TopicPartition]) -> None:
        self._finish()
        self._give_up()

    def _on_lost(self, _consumer: Consumer, _lost: list[TopicPartition]) -> None:
        self._drop()
        self._give_up()

    def _give_up(self) -> None:
        self._has_changed = True
        self._partitions = None
        self._consumer.unassign()

    def _begin(self, partitions: list[int]) -> None:
        starts = self._start_offsets(partitions)
        self._committed = {one.partition: one.offset for one in starts}
        self._ended.clear()
        self._end.clear()
        self._merge.begin(partitions, _now_ms())
        self._consumer.assign(starts)
        self._consumer.resume(starts)
        self._paused = set()

    def _add(self, message: Any) -> None:
        self._merge.add(message)
        partition = message.partition()
        if partition not in self._end:
            # As the fetch said that brought it. While messages keep coming no end is ever reported.
            known = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            self._end[partition] = known[1] if known[1] >= 0 else OFFSET_UNKNOWN

    def _behind(self, partition: int) -> int:
        spot = TopicPartition(self._topic, partition)
        low, high = self._consumer.get_watermark_offsets(spot, cached=True)
        return max(0, int(high) - max(self._committed.get(partition, 0), int(low), 0))

    def _note_ends(self, taken: Iterable[Any]) -> None:
        self._ended |= self._merge.drained()
        handed = {message.partition(): message.offset() + 1 for message in taken}
        self._ended |= {partition for partition, offset in handed.items() if offset >= self._end[partition]}

    def _steer(self) -> None:
        """Hold back what is read ahead too far, until it is wanted again."""
        wanted = self._merge.far_ahead()
        if pause := wanted - self._paused:
            self._consumer.pause(self._named(pause))
        if resume := self._paused - wanted:
            self._consumer.resume(self._named(resume))
        self._paused = wanted

    def _named(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]

    def _start_offsets(self, partitions: Iterable[int]) -> list[TopicPartition]:
        """Ask what the group has committed; without that a partition is read from its first message."""
        asked = self._named(partitions)
        while asked:
            try:
                committed = self._consumer.committed(asked, timeout=ATTEMPT_S)
                return [self._start(one) for one in committed]
            except KafkaException as error:
                if not _is_passing(error.args[0]):
                    raise
                if self._stop.is_set:
                    return []
                # Perhaps of a process that died in a transaction: the broker ends that after its timeout.
                log("warn", "offsets.awaited", reads=self._topic, error=error.args[0].str())
        return []

    def _start(self, committed: TopicPartition) -> TopicPartition:
        if committed.error is not None:
            raise KafkaException(committed.error)
        offset = committed.offset if committed.offset >= 0 else OFFSET_BEGINNING
        return TopicPartition(self._topic, committed.partition, offset)

    def _heed(self, notice: Any) -> None:
        """Take in what is no message; raise what reading cannot go on after."""
        error = notice.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._merge.end(notice.partition())
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise CopyGap(
                f"{notice.topic()} partition {notice.partition()}: Kafka does not hold the offset any more at "
                f"which the copy goes on ({error.str()}); messages were deleted before they were copied, or the "
                "topic was made anew; to copy what there is, name a new --group and a new --to"
            )
        elif error.fatal() or error.code() in UNREADABLE:
            raise KafkaException(error)
        else:
            log("warn", "consumer.failed", topic=notice.topic(), error=error.str())


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _is_passing(error: KafkaError) -> bool:
    return error.retriable() or error.code() in (
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
    )
