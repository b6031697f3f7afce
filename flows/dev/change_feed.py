"""Follow the change topic as any app would: one consumer, repeats dropped by `seq`. It is an example too."""

from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


class Part(msgspec.Struct):
    """One feature's part in a score."""

    feature: str
    points: float
    value: float | None = None


class Change(msgspec.Struct, rename={"from_rung": "from", "to_rung": "to"}):
    """One ladder change as published; what does not apply is absent there and None here."""

    user_id: str
    seq: int
    ladder: str
    from_rung: str
    from_rank: int
    direction: str
    cause: str
    score: float
    effective_at: str
    why: list[Part]
    to_rung: str | None = None
    to_rank: int | None = None
    cause_event_id: str | None = None


class ChangeFeed:
    """
    Reads all partitions of a change topic from their beginning.

    Attributes:
        repeats: changes seen before, which at-least-once delivery allows.
        at_end: nothing was waiting in any partition at the last look.
    """

    def __init__(self, client_settings: dict[str, str], topic: str, partitions: int) -> None:
        own: dict[str, Any] = {"group.id": "tierwise-demo-view", "enable.auto.commit": False}
        self._consumer = Consumer({**client_settings, **own, "enable.partition.eof": True, "log_level": 0})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self._decoder = msgspec.json.Decoder(Change)
        self._last_seq: dict[str, int] = {}
        self._ended: set[int] = set()
        self._partitions = partitions
        self.repeats = 0

    @property
    def at_end(self) -> bool:
        """Tell whether every partition had nothing more at the last look."""
        return len(self._ended) == self._partitions

    def take(self, timeout_s: float, limit: int = 5_000) -> list[Change]:
        """Return the changes that came within the time, each one once."""
        changes = []
        for message in self._consumer.consume(limit, timeout_s):
            error, partition, value = message.error(), message.partition(), message.value()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                self._ended.add(partition or 0)
                continue
            self._ended.discard(partition or 0)
            if value is None:  # Behind the last changes of an erased user.
                continue
            change = self._decoder.decode(value)
            if change.seq <= self._last_seq.get(change.user_id, 0):
                self.repeats += 1
                continue
            self._last_seq[change.user_id] = change.seq
            changes.append(change)
        return changes

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
