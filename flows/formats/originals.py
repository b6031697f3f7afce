"""This file keeps what a sender wrote beside what was made of it: a dead letter is the original."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from flows.formats.cloud_events import is_of_event
from flows.items import HeadersOf
from scoring.events import DeadLetter, Envelope, EnvelopeOf
from sinks import dead_letters
from sinks.outbox import OutboxEntry

HEADERS_BYTES_MAX = 16_384
"""A dead letter must always fit; what goes beyond is left out, last header first."""


class OriginalEnvelope(Envelope):
    """Hold what a converted message had around its value, the original value, and headers that are part of it."""

    original: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Originals:
    """Answer the envelopes of a converted batch."""

    values: Sequence[bytes | None]
    envelope_of: EnvelopeOf
    headers_of: HeadersOf | None

    def __call__(self, row: int) -> OriginalEnvelope:
        """Answer the envelope of one message."""
        envelope = OriginalEnvelope(*self.envelope_of(row))
        envelope.original = self.values[row]
        envelope.headers = _kept(self.headers_of(row)) if self.headers_of else ()
        return envelope


def entry_of(letter: DeadLetter, failed_at_ms: int) -> OutboxEntry:
    """Render one dead letter, with the original bytes and headers where the message was converted."""
    envelope = letter.envelope
    if not isinstance(envelope, OriginalEnvelope):
        return dead_letters.entry_of(letter, failed_at_ms)
    entry = dead_letters.entry_of(replace(letter, value=envelope.original or b""), failed_at_ms)
    return msgspec.structs.replace(entry, headers=entry.headers + envelope.headers)


def _kept(headers: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Choose the headers of a CloudEvent, of each name the last, as they were read."""
    room = HEADERS_BYTES_MAX
    kept = []
    for name, value in dict(headers).items():
        if value is None or not is_of_event(name):
            continue
        room -= len(name.encode()) + len(value)
        if room < 0:
            break
        kept.append((name, value))
    return tuple(kept)
