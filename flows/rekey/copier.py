"""
This file runs `tierwise rekey`: it copies a topic, each message keyed by its `user_id`.

A dataflow of one stage: read, key, write, all in one transaction. It needs neither the engine nor the store.
"""

import time
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition

from config.settings import Settings
from flows.log import log, take_over_logging
from flows.patience import BrokerUnavailable
from flows.rekey.bounded_call import Stuck
from flows.rekey.source import CopyGap, SourceTopic
from flows.rekey.target import CopyRefused, TargetTopic, Undone, said
from flows.rekey.topics import Route, check_route, prepare_target
from flows.rekey.user_key import user_key
from flows.stop import StopFlag
from flows.topics import UnfitTopics

DONE, FAILED, UNFIT = 0, 1, 2
BATCH_MESSAGES = 2_000
TRANSACTION_MESSAGES = 20_000
TRANSACTION_S = 0.2
"""A copy is seen when its transaction is committed, so this is most of what the hop costs in time."""
READ_S = 0.05
"""How long one read waits; it comes back earlier only with a whole batch."""
UNDONE_PAUSE_S = 0.5
UNDONE_IN_A_ROW_MAX = 20
PARTITIONER_DEFAULT = "murmur2_random"


def rekey(
    settings: Settings, route: Route, *, group: str | None, partitioner: str | None, until_end: bool
) -> int:
    """Copy until asked to stop, or to the present end of the topic; answer the exit code."""
    take_over_logging()
    stop = StopFlag()
    stop.listen()
    group = group or f"{settings.group}.rekey.{route.source}.{route.target}"
    partitioner = partitioner or settings.kafka.get("partitioner", PARTITIONER_DEFAULT)
    try:
        check_route(route, settings.topics)
        target = prepare_target(settings.kafka, route, settings.topics, group)
        log(
            "info",
            "rekey.started",
            reads=route.source,
            group=group,
            writes=route.target,
            partitions=target.partitions,
            partitioner=partitioner,
            until="the present end" if until_end else "stopped",
        )
        copier = Copier(settings.kafka, route, group, partitioner, target.bytes_max, stop)
        stop.is_running = True
        copier.run(until_end=until_end)
        return DONE
    except UnfitTopics as error:
        log("error", "topics.refused", error=error)
        return UNFIT
    except (BrokerUnavailable, CopyGap, CopyRefused, KafkaException, Stuck) as error:
        log("error", "rekey.failed", error=said(error))
    return FAILED


@dataclass
class Counts:
    """Count messages; `keyed` are those whose user id was read, the others kept the key they had."""

    copied: int = 0
    keyed: int = 0

    def add(self, other: "Counts") -> None:
        """Take in others."""
        self.copied += other.copied
        self.keyed += other.keyed


class Copier:
    """
    Copy what the group gives this process, a transaction every so often.

    What is read again after a crash or a rollback is what was not committed. All messages of a user in one
    partition of the source stay in their order.
    """

    def __init__(
        self,
        kafka: dict[str, str],
        route: Route,
        group: str,
        partitioner: str,
        bytes_max: int,
        stop: StopFlag,
    ) -> None:
        self._stop = stop
        self._route = route
        self._target = TargetTopic(kafka, route.target, group, partitioner, bytes_max, stop)
        self._source = SourceTopic(kafka, route.source, group, stop, self._finish, self._drop)
        self._next_offset: dict[int, int] = {}
        self._in_hand = Counts()
        self._due_s = 0.0
        self._counts = Counts()
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
        return False

    def _step(self) -> None:
        messages = self._source.read(BATCH_MESSAGES, READ_S)
        if messages and not self._in_hand.copied:
            self._due_s = time.monotonic() + TRANSACTION_S
        for message in messages:
            user_id = user_key(message.value())
            # A message that nobody can be made out of is the worker's to set aside; it goes where it would.
            self._target.add(message, message.key() if user_id is None else user_id)
            self._next_offset[message.partition()] = message.offset() + 1
            self._in_hand.copied += 1
            self._in_hand.keyed += user_id is not None
        self._target.poll()
        if self._in_hand.copied >= TRANSACTION_MESSAGES or time.monotonic() >= self._due_s:
            self._commit()

    def _commit(self) -> None:
        if not self._next_offset:
            return
        offsets = [TopicPartition(self._route.source, *pair) for pair in self._next_offset.items()]
        self._target.commit(offsets, self._source.member)
        self._counts.add(self._in_hand)
        self._transactions += 1
        self._undone_in_a_row = 0
        self._forget()

    def _forget(self) -> None:
        self._next_offset.clear()
        self._in_hand = Counts()

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
        self._undone_in_a_row += 1
        cause = undone.__cause__
        log("warn", "transaction.undone", writes=self._route.target, error=said(cause), action="copied again")
        if cause is not None and self._undone_in_a_row >= UNDONE_IN_A_ROW_MAX:
            raise cause
        time.sleep(UNDONE_PAUSE_S)

    def _tell(self) -> None:
        log(
            "info",
            "rekey.stopped",
            reads=self._route.source,
            writes=self._route.target,
            copied=self._counts.copied,
            keyed_by_user=self._counts.keyed,
            kept_their_key=self._counts.copied - self._counts.keyed,
            transactions=self._transactions,
            undone=self._undone,
        )
