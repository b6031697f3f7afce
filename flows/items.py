"""What travels through the dataflow, control and data in one order. This file names the items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scoring.commit_plan import CommitPlan
from scoring.erasure import Erasure
from scoring.events import EnvelopeOf, EventBatch
from sinks.claim import Claim
from sinks.outbox import OutboxBatch

HeadersOf = Callable[[int], Sequence[tuple[str, bytes | None]]]
"""Answer the headers of a batch's row."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Say that this worker has become the owner of a shard, and where its store stands."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Released:
    """Say that a shard is no longer ours: commit what is done, then forget it."""

    partition: int


@dataclass(frozen=True, slots=True)
class RawBatch:
    """
    Hold messages of one topic partition in offset order, undecoded.

    Attributes:
        topic: index in the order of settings.
        offsets, ingest_time_ms: int64, one per value; the time Kafka gives the message.
        envelope_of: what each message has around its value.
        headers_of: None where headers were not read.
    """

    partition: int
    topic: int
    values: Sequence[bytes | None]
    offsets: npt.NDArray[np.int64]
    ingest_time_ms: npt.NDArray[np.int64]
    envelope_of: EnvelopeOf
    headers_of: HeadersOf | None = None

    def head(self, count: int) -> RawBatch:
        """Answer the first messages."""
        return replace(
            self,
            values=self.values[:count],
            offsets=self.offsets[:count],
            ingest_time_ms=self.ingest_time_ms[:count],
        )


@dataclass(frozen=True, slots=True)
class AtEnd:
    """
    Say that a topic partition has no further message at the moment.

    Attributes:
        offset: where the next one will stand at the earliest. Marks of transactions, and aborted messages,
            may stand before it.
    """

    partition: int
    topic: int
    offset: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Ask every stage to finish what is in its hands: sweep deadlines, commit, publish."""

    wall_ms: int
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """Carry what a shard has changed since its last commit."""

    plan: CommitPlan


@dataclass(frozen=True, slots=True)
class Erased:
    """Carry a user who is to leave the store, behind the plan with all that was scored before."""

    erasure: Erasure


@dataclass(frozen=True, slots=True)
class Flush:
    """Ask for a short wait until what is durable is published, too: somebody else is to go on with it."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Carry what of an outbox is durable, in the order of publishing, and the ids of messages published already."""

    partition: int
    batches: Sequence[OutboxBatch]
    published: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Say that a shard was taken from us, or that the store forgot it: nothing of ours counts any more."""

    partition: int


Read = Claimed | RawBatch | AtEnd | Tick
Decoded = Claimed | Released | EventBatch | AtEnd | Tick
Due = Claimed | Released | Scored | Erased | Flush | Tick
Written = Committed | Released | Dropped | Flush | Tick
