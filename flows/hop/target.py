"""The topic that is written, in transactions that hold a copy together with the offsets of its originals."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from flows.hop.bounded_call import Stuck, bounded
from flows.log import log
from flows.stop import StopFlag

ATTEMPT_S = 5.0
ROOM_S = 0.1
NO_TIME_MS = -1
DEFAULTS: dict[str, str | int] = {
    "linger.ms": 5,
    "batch.size": 1_000_000,
    # A message may have fitted into its topic only because it was compressed.
    "compression.type": "lz4",
    # What a process that died has left open holds up the readers of the target, and whoever takes its
    # partitions over, until the broker gives up on it. Long enough for a broker to be replaced by another.
    "transaction.timeout.ms": 15_000,
    # How large a message may be is the target's to say: ours must not be refused for our own default.
    "message.max.bytes": 1_000_000_000,
}
FIXED: dict[str, str | bool] = {"enable.idempotence": True, "delivery.report.only.error": True}
REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the target",
    KafkaError.INVALID_TIMESTAMP: "raise message.timestamp.after.max.ms or .before.max.ms of the target",
    KafkaError.INVALID_RECORD: "the target must not be compacted",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow this user to write to the target",
    KafkaError._UNKNOWN_TOPIC: "the target must not be deleted while it is written",
}
"""What the broker says of a message that it will not take at the next attempt either, and what helps."""


class Copy(NamedTuple):
    """Say what is written for a message, and as what it is counted."""

    original: Message
    key: bytes | None
    value: bytes | None
    headers: Any
    kind: str


class Undone(Exception):
    """Say that the open transaction was rolled back; what it held must be read again."""


class CopyRefused(Exception):
    """Say which message the target does not take, and what to do."""


class TargetTopic:
    """
    Write copies in transactions; not thread-safe.

    A transaction counts as a whole or not at all, offsets included, so a crash copies nothing twice for
    those who read the target with isolation.level read_committed.

    Each producer has a transactional.id of its own, which says nothing and is never used again. Two
    processes of the group can therefore not throw each other out, and none has to be told its name. That a
    process which lost its partitions, but does not know, commits nothing for them is seen to by the group:
    the offsets of a commit carry the member and its generation, and the broker refuses those of an old one
    (KIP-447). The price: nobody ends the open transaction of a process that was killed before the broker
    does, after transaction.timeout.ms.

    Args:
        group: starts the transactional.id, so that an ACL can name a prefix.
        bytes_max: how large a batch the target takes.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        topic: str,
        group: str,
        partitioner: str,
        bytes_max: int,
        stop: StopFlag,
    ) -> None:
        self._config = {**DEFAULTS, **kafka, **FIXED, "partitioner": partitioner}
        # What the target takes is measured by the batch, and librdkafka does not cut one that is refused.
        self._config["batch.size"] = min(int(self._config["batch.size"]), bytes_max)
        # One for connections in general can be too long for a transaction; librdkafka finds one that fits.
        self._config.pop("socket.timeout.ms", None)
        self._topic = topic
        self._group = group
        self._stop = stop
        self._refusal = ""
        self._is_open = False
        self._producer = self._new_producer()

    def add(self, wanted: Copy) -> None:
        """Write one message, with the timestamp of its original."""
        message = wanted.original
        if not self._is_open:
            self._settle(lambda _: self._producer.begin_transaction())
            self._is_open = True
        time_ms = message.timestamp()[1]
        copy = partial(
            self._producer.produce,
            self._topic,
            wanted.value,
            wanted.key,
            headers=wanted.headers,
            # To librdkafka 0 means now; the worker takes 0 and -1 alike for no time.
            timestamp=time_ms if time_ms > 0 else NO_TIME_MS,
            on_delivery=partial(self._note_failure, message),
        )
        while True:
            try:
                return copy()
            except BufferError:  # The producer's own bound; deliveries make room.
                self._producer.poll(ROOM_S)
            except KafkaException as error:
                self._note_failure(message, error.args[0])
                self._roll_back(error)

    def poll(self) -> None:
        """Hear of failed deliveries."""
        self._producer.poll(0)

    def commit(self, offsets: Sequence[TopicPartition], member: Any) -> None:
        """Make the open transaction count, with where its originals end; raises Undone when it must not."""
        # So that no broker can have the offsets without the copies, also one that takes offsets at once.
        self._settle(self._producer.flush)
        self._settle(partial(self._producer.send_offsets_to_transaction, list(offsets), member))
        self._settle(self._producer.commit_transaction)
        self._is_open = False

    def drop(self) -> None:
        """Roll back what is open, if anything is."""
        if self._is_open:
            with suppress(Undone):
                self._roll_back(None)

    def close(self) -> None:
        """Roll back what is open as far as a broker answers; if none does, it will do so by itself."""
        if self._is_open:
            try:
                bounded(partial(self._producer.abort_transaction, ATTEMPT_S))
            except (KafkaException, Stuck) as error:
                log("warn", "transaction.left", writes=self._topic, error=said(error))

    def _new_producer(self) -> Producer:
        name = f"{self._group}.{uuid.uuid4().hex}"
        # Errors of the connection heal by themselves; all others come out of the calls.
        config = {**self._config, "transactional.id": name, "error_cb": lambda error: None}
        producer = Producer(config, logger=logging.getLogger("tierwise.producer"))
        self._insist(producer.init_transactions)
        return producer

    def _settle(self, call: Callable[[float], object]) -> None:
        """Make a call of the transaction; raises Undone when it made the transaction void."""
        try:
            self._insist(call)
        except Stuck as error:
            self._begin_anew(error)
        except KafkaException as error:
            if error.args[0].fatal() or error.args[0].txn_requires_abort():
                self._roll_back(error)
            raise

    def _roll_back(self, cause: Exception | None) -> NoReturn:
        try:
            self._insist(self._producer.abort_transaction)
        except Stuck as error:
            self._begin_anew(cause or error)
        except KafkaException as error:
            if not error.args[0].fatal():
                raise
            self._begin_anew(cause or error)
        self._give_up(cause)

    def _begin_anew(self, cause: Exception) -> NoReturn:
        """
        Follow a producer that failed for good with a new one; the broker rolls back what it left open.

        Most likely we were stopped or cut off for longer than transaction.timeout.ms, and locked out.
        """
        self._producer = self._new_producer()
        self._give_up(cause)

    def _give_up(self, cause: Exception | None) -> NoReturn:
        self._is_open = False
        if self._refusal:
            raise CopyRefused(self._refusal) from cause
        raise Undone from cause

    def _insist(self, call: Callable[[float], object]) -> None:
        """Make a call, and again while the broker is away."""
        while True:
            try:
                return bounded(partial(call, ATTEMPT_S))
            except KafkaException as error:
                if not error.args[0].retriable() or self._stop.is_set:
                    raise
                log("warn", "transaction.delayed", writes=self._topic, error=said(error))

    def _note_failure(self, message: Message, error: KafkaError | None, _: Message | None = None) -> None:
        if error is not None and error.code() in REFUSALS:
            self._refusal = self._refusal or (
                f"{self._topic} does not take the message at {message.topic()} partition {message.partition()} "
                f"offset {message.offset()}: {error.str()}; {REFUSALS[error.code()]}"
            )


def said(error: BaseException | None) -> str:
    """Give what an error says, without librdkafka's wrapping."""
    return str(error.args[0].str() if isinstance(error, KafkaException) else error)
