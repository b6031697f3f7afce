"""The change topic as one endpoint reads it, in a group of its own. This file joins, reads, commits and leaves."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.log import log
from flows.membership import UNREADABLE
from flows.patience import patiently
from flows.webhooks.ledger import Ledger, Mark
from flows.webhooks.notes import NOTE_SIZE_MAX

ATTEMPT_S = 5.0
BROKER_WAIT_S = 60.0
END_WAIT_S = 0.5
DEFAULTS: dict[str, str | int] = {"queued.max.messages.kbytes": 4_096}
"""Read ahead little: what an endpoint takes an hour for must not lie in memory."""
FIXED: dict[str, str | bool] = {
    "enable.auto.commit": False,
    # Offsets are the group's alone; one that the topic does not hold any more is looked at, see _start().
    "auto.offset.reset": "error",
    "enable.partition.eof": False,
    "partition.assignment.strategy": "range",
}


class ChangeReader:
    """
    Read the partitions that the group gives this process; not thread-safe.

    The callbacks run inside Consumer.consume(), so on the thread of the courier.

    Args:
        starts_at_end: where a group without an offset begins.
        on_revoked: told before partitions go to another process; what is settled is committed after it.
        on_dropped: told of partitions that are not ours any more, perhaps since a while.
        on_gap: told how many messages Kafka deleted before they were read.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        group: str,
        ledger: Ledger,
        *,
        starts_at_end: bool,
        on_revoked: Callable[[], None],
        on_dropped: Callable[[list[int]], None],
        on_gap: Callable[[int], None],
    ) -> None:
        config = {**DEFAULTS, **kafka, **FIXED, "group.id": group, "on_commit": self._on_commit}
        self._consumer = Consumer(config, logger=logging.getLogger("tierwise.consumer"))
        self._topic = topic
        self._group = group
        self._ledger = ledger
        self._starts_at_end = starts_at_end
        self._on_revoked = on_revoked
        self._on_dropped = on_dropped
        self._on_gap = on_gap
        self._has_changed = False
        self._is_paused = False
        self.is_assigned = False
        self._note_size_max = NOTE_SIZE_MAX

    def join(self) -> None:
        """Join the group; the first assignment arrives during a later read."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )

    def read(self, count: int, timeout_s: float) -> list[Any]:
        """Answer the next messages; none when the assignment changed: they may be another process's."""
        self._has_changed = False
        messages = self._consumer.consume(count, timeout_s)
        if self._has_changed:
            if messages and self._ledger.partitions:  # They came with the assignment, and are dropped.
                self._begin(self._ledger.partitions)
            return []
        good = [message for message in messages if message.error() is None]
        for message in messages:
            if (error := message.error()) is not None:
                self._heed(error, message.partition() or 0)
        return [] if self._has_changed else good

    def pause(self, *, is_wanted: bool) -> None:
        """Stop reading, or go on; the group goes on all the same."""
        if is_wanted == self._is_paused:
            return
        self._is_paused = is_wanted
        spots = self._spots(self._ledger.partitions)
        (self._consumer.pause if is_wanted else self._consumer.resume)(spots)

    def commit(self, *, wait: bool) -> None:
        """Tell the group how far everything is settled; what it does not hear of is delivered again."""
        while marks := self._ledger.news(self._note_size_max):
            offsets = [self._spot(mark) for mark in marks]
            try:
                if not wait:
                    self._consumer.commit(offsets=offsets, asynchronous=True)
                    return
                for one in self._consumer.commit(offsets=offsets, asynchronous=False):
                    if one.error:
                        raise KafkaException(one.error)
            except KafkaException as error:
                if not self._is_shorter(error.args[0]):
                    return

    def lag(self) -> int | None:
        """Count the messages from the oldest that is not settled to the end; None when no broker answers."""
        try:
            settled = self._ledger.offsets().items()
            return sum(max(0, self._end(partition) - offset) for partition, offset in settled)
        except KafkaException:
            return None

    def leave(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    def _end(self, partition: int) -> int:
        """Answer what the last fetch said; what is paused is not fetched, and costs a round trip more."""
        spot = TopicPartition(self._topic, partition)
        _, end = self._consumer.get_watermark_offsets(spot, cached=True)
        if self._is_paused:
            _, asked = self._consumer.get_watermark_offsets(spot, END_WAIT_S)
            end = max(end, asked)  # The embedded broker leaves out the last batch.
        return int(end)

    def _on_commit(self, error: KafkaError | None, committed: list[TopicPartition]) -> None:
        failed = error or next((one.error for one in committed if one.error), None)
        if failed is not None:
            self._is_shorter(failed)

    def _is_shorter(self, error: KafkaError) -> bool:
        """Take in why a commit failed; tell whether the next one has a shorter note and may succeed."""
        self._ledger.forget_told()
        if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE and self._note_size_max:
            self._note_size_max //= 2
            return True
        log("warn", "offsets.uncommitted", group=self._group, error=error.str())
        return False

    def _assign(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        partitions = sorted(one.partition for one in assigned)
        self._begin(partitions)
        self.is_assigned = True
        log("info", "partitions.assigned", group=self._group, owns=partitions or "none")

    def _revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._on_revoked()
        self.commit(wait=True)
        self._give_up(revoked)

    def _lose(self, _consumer: Consumer, lost: list[TopicPartition]) -> None:
        self._give_up(lost)

    def _give_up(self, taken: list[TopicPartition]) -> None:
        self._has_changed = True
        self._drop([one.partition for one in taken])
        self._consumer.unassign()

    def _drop(self, partitions: list[int]) -> None:
        self._on_dropped(partitions)
        self._ledger.drop(partitions)

    def _begin(self, partitions: list[int], refused: int | None = None) -> None:
        """
        Read on where the group says; whatever was in hand is read again.

        Args:
            refused: the partition of which the broker does not have the group's offset any more.
        """
        self._has_changed = True
        self._is_paused = False
        asked = self._spots(partitions)
        known = self._known(asked) if asked else []
        marks = [self._start(one, is_refused=one.partition == refused) for one in known]
        self._ledger.begin(marks)
        self._consumer.assign([TopicPartition(self._topic, mark.partition, mark.offset) for mark in marks])

    def _known(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        return patiently(lambda: self._consumer.committed(asked, timeout=ATTEMPT_S), BROKER_WAIT_S)

    def _start(self, committed: TopicPartition, *, is_refused: bool) -> Mark:
        """Answer where to begin; a gap is told, never passed over in silence."""
        if committed.error is not None:
            raise KafkaException(committed.error)
        low, high = self._bounds(committed.partition)
        offset = committed.offset
        if offset < 0:
            return self._settled_start(committed.partition, high if self._starts_at_end else low)
        if offset < low or is_refused:
            log(
                "error",
                "changes.lost",
                group=self._group,
                partition=committed.partition,
                wanted=offset,
                first=low,
                end=high,
                messages=low - offset if offset < low else "unknown, the topic was made anew",
            )
            self._on_gap(max(0, low - offset))
            return self._settled_start(committed.partition, low)
        return Mark(committed.partition, offset, committed.metadata or "")

    def _settled_start(self, partition: int, offset: int) -> Mark:
        """Tell the group a first offset at once: what comes from there on must not be skipped by the next start."""
        spots = [TopicPartition(self._topic, partition, offset)]
        patiently(lambda: self._consumer.commit(offsets=spots, asynchronous=False), BROKER_WAIT_S)
        return Mark(partition, offset)

    def _bounds(self, partition: int) -> tuple[int, int]:
        spot = TopicPartition(self._topic, partition)
        found: tuple[int, int] = patiently(
            lambda: self._consumer.get_watermark_offsets(spot, timeout=ATTEMPT_S), BROKER_WAIT_S
        )
        return found

    def _heed(self, error: KafkaError, partition: int) -> None:
        """Take in what is no message; raise what reading cannot go on after."""
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._on_revoked()
            self.commit(wait=True)
            partitions = self._ledger.partitions
            self._drop(partitions)
            self._begin(partitions, refused=partition)
        elif error.fatal() or error.code() in UNREADABLE:
            raise KafkaException(error)
        else:
            log("warn", "consumer.failed", group=self._group, partition=partition, error=error.str())

    def _spot(self, mark: Mark) -> TopicPartition:
        return TopicPartition(self._topic, mark.partition, mark.offset, mark.note)

    def _spots(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]
