"""From raw messages to columns. This file is the decode stage."""

from collections.abc import Sequence

from flows.items import Decoded, RawBatch, Read
from scoring.decoder import Decoder


class Decode:
    """Turn each RawBatch into an EventBatch; everything else passes."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __call__(self, items: Sequence[Read]) -> list[Decoded]:
        """Decode one batch of items."""
        return [self._decoded(item) if isinstance(item, RawBatch) else item for item in items]

    def _decoded(self, batch: RawBatch) -> Decoded:
        return self._decoder.decode(
            batch.partition,
            batch.topic,
            batch.values,
            batch.offsets,
            batch.ingest_time_ms,
            batch.envelope_of,
        )
