"""This file holds a batch of the outbox on its way to Kafka: what was handed over of it, and what is confirmed."""

from collections.abc import Container
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sinks.outbox import KINDS, OutboxBatch, OutboxEntry

Int64s = npt.NDArray[np.int64]

NOT_SENT = -1
"""The place of a message that an earlier owner published, or whose offset the broker did not tell."""


class Parcel:
    """
    Keep account of the messages of one batch.

    Attributes:
        number: names the parcel to whoever publishes it; never given twice.
        is_delivered: bool (count,).
        missing: messages not yet delivered.
        next_index, next_byte: of the first message that is not handed over.
        is_forgotten: it is the next owner's to publish.

    Args:
        published: ids of messages that the broker is known to hold.
    """

    def __init__(self, number: int, batch: OutboxBatch, published: Container[str] = ()) -> None:
        self.number = number
        self.batch = batch
        self.is_delivered = np.zeros(batch.count, np.bool_)
        if published:
            self.is_delivered[:] = [batch.id_of(index) in published for index in range(batch.count)]
        self.missing = batch.count - int(self.is_delivered.sum())
        self.next_index = self.next_byte = 0
        self.is_forgotten = False
        self._place = np.full(batch.count, NOT_SENT, np.int64)
        self._offset = np.zeros(batch.count, np.int64)

    @cached_property
    def entries(self) -> list[OutboxEntry]:
        """Answer the messages unpacked."""
        return self.batch.entries()

    @property
    def is_handed_over(self) -> bool:
        """Tell whether no message is left to hand over."""
        return self.next_index == self.batch.count

    def rewind(self) -> None:
        """Begin again with the first message that is not delivered."""
        self.next_index = self.next_byte = 0

    def settle(self, index: Int64s, topic: Int64s, partition: Int64s, offset: Int64s) -> None:
        """
        Note deliveries.

        Args:
            index: int64 (reports,), each message once.
            topic: int64, in the order of KINDS.
        """
        self.is_delivered[index] = True
        self.missing -= index.shape[0]
        self._place[index] = np.where(offset >= 0, partition * len(KINDS) + topic, NOT_SENT)
        self._offset[index] = offset

    def ends(self) -> dict[tuple[int, int], int]:
        """Answer, by topic and output partition, the offset behind the last message."""
        last = dict(zip(self._place.tolist(), self._offset.tolist(), strict=True))
        last.pop(NOT_SENT, None)
        return {(place % len(KINDS), place // len(KINDS)): offset + 1 for place, offset in last.items()}
