"""From raw messages to columns. This file is the decode stage."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from flows.dead_letter_limit import DeadLetterLimit
from flows.formats.batch import Converts, FormatDecoder
from flows.items import AtEnd, Claimed, Decoded, RawBatch, Read, Released
from scoring.decoder import Decoder
from scoring.events import EventBatch

ALL_NATIVE: Mapping[int, Converts] = MappingProxyType({})


class Decode:
    """
    Turn each RawBatch into an EventBatch; everything else passes.

    Args:
        limit: stops what shows a broken sender; None lets everything pass.
        converters: by index in the order of settings, for topics of other formats.
    """

    def __init__(
        self,
        decoder: Decoder,
        limit: DeadLetterLimit | None,
        converters: Mapping[int, Converts] = ALL_NATIVE,
    ) -> None:
        self._decoder = decoder
        self._limit = limit
        self._columns = FormatDecoder(self._native_columns, converters)

    def __call__(self, items: Sequence[Read]) -> list[Decoded]:
        """Decode one batch of items."""
        decoded: list[Decoded] = []
        for item in items:
            if self._limit:
                self._look(item, self._limit)
            match item:
                case RawBatch(partition, topic) | AtEnd(partition, topic) if self._is_stopped(
                    partition, topic
                ):
                    pass  # Neither read on nor at its end: for the shard, time waits for what lies behind.
                case RawBatch():
                    decoded.append(self._decoded(item))
                case _:
                    decoded.append(item)
        return decoded

    def _look(self, item: Read, limit: DeadLetterLimit) -> None:
        match item:
            case Claimed(claim):
                limit.claimed(claim)
            case Released(partition):
                limit.released(partition)

    def _is_stopped(self, partition: int, topic: int) -> bool:
        return self._limit is not None and self._limit.is_stopped(partition, topic)

    def _decoded(self, batch: RawBatch) -> EventBatch:
        decoded = self._columns(batch)
        count = self._limit.admitted(decoded) if self._limit else len(decoded)
        return decoded if count == len(decoded) else self._columns(batch.head(count))

    def _native_columns(self, batch: RawBatch) -> EventBatch:
        return self._decoder.decode(
            batch.partition,
            batch.topic,
            batch.values,
            batch.offsets,
            batch.ingest_time_ms,
            batch.envelope_of,
        )
