"""This file carries messages from topic to topic: read, translate, write, all in one transaction."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message, TopicPartition

from flows.hop.source import SourceTopic
from flows.hop.target import Copy, TargetTopic, Undone, said
from flows.hop.watch import HopWatch
from flows.log import log
from flows.stop import StopFlag

BATCH_MESSAGES = 2_000
TRANSACTION_MESSAGES = 20_000
TRANSACTION_S = 0.2
"""A copy is seen when its transaction is committed, so this is most of what the hop costs in time."""
READ_S = 0.05
"""How long one read waits; it comes back earlier only with a whole batch."""
UNDONE_PAUSE_S = 0.5
UNDONE_IN_A_ROW_MAX = 20
LOOK_EVERY_S = 1.0
READ = "read"


class NotTranslated(Exception):
    """Say, with its cause, that what was read cannot be translated now; it is read again."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Say between which topics to carry, for which group; `bytes_max` is how large a batch the target takes."""

    source: str
    target: str
    group: str
    partitioner: str
    bytes_max: int


class Hop:
    """
    Carry what the group gives this process to another topic, a transaction every so often.

    What is read again after a crash or a rollback is what was not committed. All messages of a user in one
    partition of the source stay in their order.

    Args:
        name: of the command, for its log lines.
        translate: makes of messages what is to be written for them, in order; may raise NotTranslated.
    """

    def __init__(
        self,
        name: str,
        kafka: Mapping[str, str],
        ends: Ends,
        stop: StopFlag,
        translate: Callable[[Sequence[Message]], Iterable[Copy]],
        watch: HopWatch,
    ) -> None:
        self._name = name
        self._stop = stop
        self._ends = ends
        self._translate = translate
        self._watch = watch
        self._target = TargetTopic(kafka, ends.target, ends.group, ends.partitioner, ends.bytes_max, stop)
        self._source = SourceTopic(kafka, ends.source, ends.group, stop, self._finish, self._drop)
        self._next_offset: dict[int, int] = {}
        self._in_hand = Counter[str]()
        self._due_s = 0.0
        self._next_look_s = 0.0
        self._counts = Counter[str]()
        self._transactions = 0
        self._undone = 0
        self._undone_in_a_row = 0

    def run(self, *, until_end: bool) -> None:
        """Copy until the end that was asked for, and leave nothing in hand."""
        try:
            self._source.join()
            while not self._turn(until_end=until_end):
                pass
        finally:
            self._forget()
            self._target.close()
            self._source.leave()
            self._tell()

    def _turn(self, *, until_end: bool) -> bool:
        """Copy a little; answer whether that was all."""
        self._watch.turned()
        try:
            if self._stop.is_set or (until_end and self._source.is_at_end):
                self._commit()
                return True
            self._step()
        except Undone as undone:
            self._forget()
            self._bear(undone)
            if not self._stop.is_set:
                self._source.rewind()
        self._look()
        return False

    def _step(self) -> None:
        messages = self._source.read(BATCH_MESSAGES, READ_S)
        if messages and not self._next_offset:
            self._due_s = time.monotonic() + TRANSACTION_S
        try:
            copies = list(self._translate(messages))
        except NotTranslated as error:
            self._target.drop()
            raise Undone from error.__cause__
        for copy in copies:
            self._target.add(copy)
            self._in_hand[copy.kind] += 1
        for message in messages:
            self._next_offset[message.partition()] = message.offset() + 1
        self._in_hand[READ] += len(messages)
        self._target.poll()
        if self._in_hand[READ] >= TRANSACTION_MESSAGES or time.monotonic() >= self._due_s:
            self._commit()

    def _commit(self) -> None:
        if not self._next_offset:
            return
        offsets = [TopicPartition(self._ends.source, *pair) for pair in self._next_offset.items()]
        self._target.commit(offsets, self._source.member)
        self._source.note_committed(self._next_offset)
        self._counts += self._in_hand
        self._watch.committed(self._in_hand.pop(READ), self._in_hand.total())
        self._transactions += 1
        self._undone_in_a_row = 0
        self._forget()

    def _forget(self) -> None:
        self._next_offset.clear()
        self._in_hand = Counter()

    def _look(self) -> None:
        """See how far we are, once a second and with nothing in hand."""
        if not self._next_offset and time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + LOOK_EVERY_S
            self._watch.looked(self._source.behind())

    def _finish(self) -> None:
        """Commit what is in hand before its partitions go; what is undone their next owner copies."""
        try:
            self._commit()
        except Undone as undone:
            self._forget()
            self._bear(undone)

    def _drop(self) -> None:
        self._forget()
        self._target.drop()

    def _bear(self, undone: Undone) -> None:
        """Say what happened and wait a little; not for ever."""
        self._undone += 1
        self._watch.rolled_back()
        self._undone_in_a_row += 1
        cause = undone.__cause__
        log("warn", "transaction.undone", writes=self._ends.target, error=said(cause), action="copied again")
        if cause is not None and self._undone_in_a_row >= UNDONE_IN_A_ROW_MAX:
            raise cause
        time.sleep(UNDONE_PAUSE_S)

    def _tell(self) -> None:
        log(
            "info",
            f"{self._name}.stopped",
            reads=self._ends.source,
            writes=self._ends.target,
            **{READ: 0, **self._counts},
            transactions=self._transactions,
            undone=self._undone,
        )
