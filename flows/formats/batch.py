"""This file converts batches before they are decoded, and words afterwards what the decoder found wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from flows.formats.cloud_events import Headers
from flows.formats.conversion import Conversion
from flows.formats.originals import Originals
from flows.items import RawBatch
from flows.messages import NO_TIME_MS
from scoring.events import EventBatch

DecodeRaw = Callable[[RawBatch], EventBatch]


class Converts(Protocol):
    """Converts the messages of one topic."""

    @property
    def reads_headers(self) -> bool:
        """Tell whether headers have to be given."""

    def convert(self, value: bytes | None, headers: Headers = (), time_ms: int | None = None) -> Conversion:
        """Convert one message."""

    def places_of(self, name: str) -> str:
        """Say for people where a native field is read."""


@dataclass(frozen=True, slots=True)
class FormatDecoder:
    """
    Decode batches of any format.

    Args:
        decode: decodes native batches.
        converters: by topic, for those that are not native.
    """

    decode: DecodeRaw
    converters: Mapping[int, Converts]

    def __call__(self, batch: RawBatch) -> EventBatch:
        """Decode one batch; native ones go straight through."""
        converter = self.converters.get(batch.topic)
        if converter is None:
            return self.decode(batch)
        conversions = _convert(batch, converter)
        originals = Originals(
            batch.values, batch.envelope_of, batch.headers_of if converter.reads_headers else None
        )
        decoded = self.decode(
            replace(batch, values=[one.value for one in conversions], envelope_of=originals, headers_of=None)
        )
        for row, detail in decoded.details.items():
            decoded.details[row] = _worded(detail, conversions[row], converter)
        return decoded


def _convert(batch: RawBatch, converter: Converts) -> Sequence[Conversion]:
    times: list[int] = batch.ingest_time_ms.tolist()
    assert batch.headers_of is not None or not converter.reads_headers
    return [
        converter.convert(
            batch.values[row],
            batch.headers_of(row) if batch.headers_of and converter.reads_headers else (),
            None if times[row] == NO_TIME_MS else times[row],
        )
        for row in range(len(batch.values))  # Its iterator may go on behind the end of one that was cut.
    ]


def _worded(detail: str, conversion: Conversion, converter: Converts) -> str:
    """Say what is wrong in the words of the message's own format."""
    field = detail.partition(":")[0]
    if note := conversion.notes.get(field):
        return note
    places = converter.places_of(field)
    return f"{detail}; read from {places}" if places else detail
