"""This file reads Kafka in large batches, and paces the flow: when to read, when to commit, when to end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.clock import Clock
from flows.intake import Intake
from flows.items import AtEnd, RawBatch, Read, Tick
from flows.log import log
from flows.measure import Measure
from flows.membership import Membership, OffsetOutOfRange
from flows.progress import WRITING_MAX_MS, Progress
from flows.start_offsets import deleted_unread, scored_and_lost
from flows.stop import StopFlag
from flows.topics import REQUEST_TIMEOUT_S

WAIT_MS = 40
"""How long one read may wait, inside librdkafka: that costs an idle worker far less than being woken."""
WAITING_MAX = 50_000
"""Messages of one topic partition that may wait for another topic before it is paused."""
UNPUBLISHED_MAX = 100_000
"""Durable changes that may wait to be published before reading stops."""
REPORT_OFFSETS_MS = 1_000
END_OFFSET_WAIT_S = 1.0
REJOIN_MS = 90_000
"""How long a shard may be fenced and still assigned to us before we ask the group to decide anew."""


@dataclass
class Brake:
    """Hold back what is read ahead too far."""

    consumer: Consumer
    progress: Progress
    topics: Sequence[str]
    held: set[tuple[int, int]] = field(default_factory=set)
    is_new: bool = True
    """The assignment is, so what librdkafka holds back of it is not known."""

    def steer(self) -> None:
        """Pause and resume topic partitions as the later stages can take them."""
        self._watch_outbox()
        wanted = self._wanted()
        if wanted == self.held and not self.is_new:
            return
        if pause := self._named(wanted if self.is_new else wanted - self.held):
            self.consumer.pause(pause)
        if resume := self._named((self._owned() if self.is_new else self.held) - wanted):
            self.consumer.resume(resume)
        self.held, self.is_new = wanted, False

    def release(self) -> None:
        """Forget what was held: the assignment is new. A pause outlives it: what comes back comes back paused."""
        self.held, self.is_new = set(), True

    def _watch_outbox(self) -> None:
        """Decide, and say once, whether there is room for more changes; half of it has to be free again."""
        entries, was_full = self.progress.unpublished(), self.progress.is_outbox_full
        is_full = entries > (UNPUBLISHED_MAX // 2 if was_full else UNPUBLISHED_MAX)
        if is_full == was_full:
            return
        self.progress.is_outbox_full = is_full
        if is_full:
            action = "reading waits until half of them are published; does Kafka take changes?"
            log("warn", "outbox.filled", entries=entries, limit=UNPUBLISHED_MAX, action=action)
        else:
            log("info", "outbox.drained", entries=entries, action="reading goes on")

    def _owned(self) -> set[tuple[int, int]]:
        return {(one, topic) for one in self.progress.shards for topic in range(len(self.topics))}

    def _wanted(self) -> set[tuple[int, int]]:
        shards = self.progress.shards
        all_topics = range(len(self.topics))
        wanted = {(partition, topic) for partition in self.progress.fenced for topic in all_topics}
        wanted |= self.progress.stopped.keys() & self._owned()
        if self.progress.is_outbox_full:
            return wanted | self._owned()
        for partition, shard in shards.items():
            for topic, waiting in enumerate(shard.waiting):
                if waiting > (WAITING_MAX // 2 if (partition, topic) in self.held else WAITING_MAX):
                    wanted.add((partition, topic))
        return wanted

    def _named(self, pairs: set[tuple[int, int]]) -> list[TopicPartition]:
        return [TopicPartition(self.topics[topic], partition) for partition, topic in sorted(pairs)]


class Reader(StatelessSourcePartition[Read]):
    """
    Read the partitions that the group gave this process.

    The engine calls next_batch again only when everything returned before has gone through all stages.
    """

    def __init__(
        self,
        consumer: Consumer,
        intake: Intake,
        membership: Membership,
        topics: Sequence[str],
        progress: Progress,
        clock: Clock,
        stop: StopFlag,
        measure: Measure,
        settle: Callable[[float | None], None],
        commit_interval_ms: int,
    ) -> None:
        self._consumer = consumer
        self._intake = intake
        self._membership = membership
        self._progress = progress
        self._clock = clock
        self._stop = stop
        self._settle = settle
        self._commit_interval_ms = commit_interval_ms
        self._brake = Brake(consumer, progress, topics)
        self._offsets = OffsetReport(consumer, progress, measure, topics)
        self._next_tick_ms = clock.monotonic_ms() + commit_interval_ms
        self._is_drained = False

    def next_batch(self) -> list[Read]:
        """Return what has been read, and from time to time a Tick; end when asked to, or on a failure."""
        self._progress.beat()
        if self._progress.failure or self._is_drained:
            raise StopIteration
        if self._stop.is_set:
            self._is_drained = True
            log("info", "worker.stopping")
            return [*self._membership.take_news(), Tick(self._clock.wall_ms(), draining=True)]
        try:
            return self._read()
        except Exception as error:
            self._progress.fail(error)
            raise StopIteration from error

    def report_offsets(self) -> None:
        """Tell Kafka once more how far the store is."""
        self._offsets.report(self._clock.monotonic_ms() + REPORT_OFFSETS_MS)

    def leave(self) -> None:
        """
        Leave the group, so that others take over at once.

        Not named `close`: the engine would call that when the source ends, before the last trim.
        """
        self._intake.close()
        self._membership.leave()

    def _read(self) -> list[Read]:
        self._heal()
        self._brake.steer()
        messages: list[RawBatch | AtEnd] = []
        until_tick_ms = self._next_tick_ms - self._clock.monotonic_ms()
        wait_s = max(0, min(WAIT_MS, until_tick_ms)) / 1000
        if self._progress.writing_ms() > WRITING_MAX_MS:
            self._settle(wait_s)
        else:
            messages = self._messages(wait_s)
        if self._membership.has_changed():
            # These may be of the assignment before or of the one after. None of them counts yet: read again.
            self._brake.release()
            if messages:
                self._membership.read_again()
                messages = []
        items: list[Read] = [*self._membership.take_news(), *messages]
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._next_tick_ms:
            self._next_tick_ms = now_ms + self._commit_interval_ms
            self._offsets.report(now_ms)
            self._membership.watch()
            items.append(Tick(self._clock.wall_ms()))
        return items

    def _messages(self, timeout_s: float) -> list[RawBatch | AtEnd]:
        try:
            return self._intake.read(timeout_s, is_assigned=bool(self._membership.partitions))
        except OffsetOutOfRange as error:
            place = TopicPartition(error.topic, error.partition)
            first, end = self._consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S)
            if error.offset < first:
                raise deleted_unread(error.topic, error.partition, error.offset, first) from error
            raise scored_and_lost(error.topic, error.partition, error.offset, end) from error

    def _heal(self) -> None:
        if self._progress.rolled_back:
            self._settle(None)  # So that no other is added meanwhile.
            self._membership.reload(self._progress.rolled_back)
            self._progress.rolled_back.clear()
        if self._progress.fenced:
            first_ms = min(self._progress.fenced.values())
            if self._clock.monotonic_ms() - first_ms > REJOIN_MS:
                log("warn", "group.rejoined", fenced=sorted(self._progress.fenced))
                self._progress.fenced.clear()
                self._membership.rejoin()


class OffsetReport:
    """Tell Kafka how far the store is, for those who watch the group's lag there; we never read it back."""

    def __init__(
        self, consumer: Consumer, progress: Progress, measure: Measure, topics: Sequence[str]
    ) -> None:
        self._index = {topic: index for index, topic in enumerate(topics)}
        self._consumer = consumer
        self._progress = progress
        self._measure = measure
        self._next_ms = 0
        self._told: dict[tuple[str, int], int] = {}

    def report(self, now_ms: int) -> None:
        """Commit what the store holds by now, in the background and at most once a second."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + REPORT_OFFSETS_MS
        written = {
            (topic, partition): offset
            for partition, shard in self._progress.shards.items()
            for topic, offset in shard.written.items()
        }
        self._measure_lag(written)
        changed = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in written.items()
            if self._told.get((topic, partition)) != offset
        ]
        if not changed:
            return
        try:
            self._consumer.commit(offsets=changed, asynchronous=True)
            self._told = written
        except KafkaException as error:  # A rebalance may be under way; the next report says it again.
            log("debug", "offsets.refused", error=error)

    def _measure_lag(self, written: Mapping[tuple[str, int], int]) -> None:
        stopped = {partition for partition, _ in self._progress.stopped}
        for (topic, partition), offset in written.items():
            end_offset = self._end_offset(TopicPartition(topic, partition), is_read=partition not in stopped)
            if end_offset >= 0:
                self._measure.lag_seen(partition, self._index[topic], topic, max(0, end_offset - offset))

    def _end_offset(self, spot: TopicPartition, is_read: bool) -> int:
        """Answer what the last fetch said; what is not fetched costs a round trip. -1 when it is not known."""
        try:
            _, end_offset = self._consumer.get_watermark_offsets(spot, END_OFFSET_WAIT_S, cached=is_read)
            return int(end_offset)
        except KafkaException:  # The broker is away; the next report asks again.
            return -1


class Source(DynamicSource[Read]):
    """Give the one worker of this process its one reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Reader:
        """Answer the reader."""
        assert worker_count == 1, worker_count
        return self._reader
