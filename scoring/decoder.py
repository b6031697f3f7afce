"""This file turns the raw messages of one topic partition into columns, and tells what is no event."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoring.events import (
    DECODED,
    IGNORED_TYPE,
    TEXT_SLACK,
    Bytes,
    EnvelopeOf,
    EventBatch,
    Int64s,
    Reason,
    TextSpans,
    bare,
)
from scoring.hashing import hash_spans
from scoring.joined import JoinedValues, joined
from scoring.match import Matcher
from scoring.policy import Policy
from scoring.scan import NOT_UNDERSTOOD, ScanColumns, new_memory, scan_batch
from scoring.scan_tables import compared_fields, scan_tables
from scoring.text_spans import NO_TEXT
from scoring.wire import Rejection, WireEvent, WireReader

EVENT_BYTES_MAX = 65_536
MINOR_DIGITS_MAX = 4


class Decoder:
    """
    Decode batches under one policy.

    A message whose event time is more than `future_tolerance_ms` ahead of its broker stamp is a dead letter.
    """

    def __init__(
        self, policy: Policy, future_tolerance_ms: int, event_bytes_max: int = EVENT_BYTES_MAX
    ) -> None:
        self._future_tolerance_ms = future_tolerance_ms
        self._minor_digits = policy.minor_digits
        self._event_bytes_max = event_bytes_max
        self._type_index = {event.name: index for index, event in enumerate(policy.events)}
        self._reader = WireReader(policy, event_bytes_max)
        self._matcher = Matcher.of(policy)
        assert 0 <= policy.minor_digits <= MINOR_DIGITS_MAX, policy.minor_digits
        self._tables = scan_tables(policy, self._matcher)
        self._compared = compared_fields(policy)
        self._memory = new_memory()

    def decode(
        self,
        partition: int,
        topic: int,
        values: Sequence[bytes | None],
        offsets: Int64s,
        ingest_time_ms: Int64s,
        envelope_of: EnvelopeOf = bare,
    ) -> EventBatch:
        """
        Decode messages of one topic partition, given in offset order; none raises.

        What comes joined has everything over `event_bytes_max` kept apart already.
        """
        assert len(values) == offsets.shape[0] == ingest_time_ms.shape[0], (len(values), offsets.shape)
        laid_out = values if isinstance(values, JoinedValues) else joined(values, self._event_bytes_max)
        batch = empty_batch(partition, topic, laid_out, offsets, ingest_time_ms, envelope_of)
        text, message_start = laid_out.text, laid_out.start
        users, ids = (np.zeros((2, len(batch)), np.int64) for _ in range(2))
        self._scan(batch, text, message_start, users, ids)
        events = self._read_the_rest(batch)
        user_texts = {row: event.user_id for row, event in events.items()}
        id_texts = {row: event.event_id.encode() for row, event in events.items()}
        batch.users = _placed(text, user_texts, users)
        batch.event_ids = _placed(text, id_texts, ids)
        return batch

    def _scan(
        self, batch: EventBatch, text: Bytes, message_start: Int64s, users: Int64s, ids: Int64s
    ) -> None:
        """Fill every row that is good beyond doubt; the fate of the others is NOT_UNDERSTOOD."""
        columns = ScanColumns(
            batch.fate,
            batch.type,
            batch.event_time_ms,
            batch.event_id_hash,
            batch.order_id_hash,
            batch.amount_minor,
            batch.match,
            batch.user_hash,
            *users,
            *ids,
        )
        scan_batch(
            text,
            message_start,
            batch.ingest_time_ms,
            self._future_tolerance_ms,
            self._minor_digits,
            self._compared,
            self._tables,
            self._memory,
            columns,
        )

    def _read_the_rest(self, batch: EventBatch) -> dict[int, WireEvent]:
        """Take the rows that the scan left through the checked path; answer those that live, by row."""
        events = {}
        for row in np.flatnonzero(batch.fate == NOT_UNDERSTOOD).tolist():
            batch.fate[row] = DECODED
            event = self._read_row(batch, row)
            if event is not None:
                events[row] = event
        if events:
            _hash_ids(batch, events)
        return events

    def _read_row(self, batch: EventBatch, row: int) -> WireEvent | None:
        """Fill one row by the checked path; None when it is dead."""
        read = self._reader.read(batch.values[row])
        if isinstance(read, WireEvent):
            ahead_ms = read.event_time_ms - int(batch.ingest_time_ms[row])
            if ahead_ms <= self._future_tolerance_ms:
                self._fill(batch, row, read)
                return read
            read = Rejection(
                Reason.FROM_THE_FUTURE,
                f"event_time: must be at most {self._future_tolerance_ms} ms after the message's timestamp, "
                f"got {ahead_ms} ms",
            )
        batch.fate[row] = read.reason
        batch.details[row] = read.detail
        return None

    def _fill(self, batch: EventBatch, row: int, event: WireEvent) -> None:
        kind = self._type_index.get(event.type, IGNORED_TYPE)
        batch.type[row] = kind
        batch.event_time_ms[row] = event.event_time_ms
        batch.amount_minor[row] = event.amount_minor or 0
        if kind != IGNORED_TYPE:
            batch.match[row] = self._matcher.mask(kind, event.texts, event.numbers(self._minor_digits))


def empty_batch(
    partition: int,
    topic: int,
    values: JoinedValues,
    offsets: Int64s,
    ingest_time_ms: Int64s,
    envelope_of: EnvelopeOf,
) -> EventBatch:
    """Lay out the columns of N messages, every one decoded to nothing yet."""
    count = len(values)
    return EventBatch(
        partition=partition,
        topic=topic,
        values=values,
        details={},
        envelope_of=envelope_of,
        offset=offsets,
        ingest_time_ms=ingest_time_ms,
        fate=np.full(count, DECODED, np.int8),
        type=np.full(count, IGNORED_TYPE, np.int16),
        event_time_ms=np.zeros(count, np.int64),
        event_id_hash=np.zeros(count, np.int64),
        order_id_hash=np.zeros(count, np.int64),
        amount_minor=np.zeros(count, np.int64),
        match=np.zeros(count, np.int64),
        users=TextSpans(NO_TEXT, NO_TEXT, *np.zeros((2, count), np.int64)),
        user_hash=np.zeros(count, np.int64),
        event_ids=TextSpans(NO_TEXT, NO_TEXT, *np.zeros((2, count), np.int64)),
    )


def _hash_ids(batch: EventBatch, events: dict[int, WireEvent]) -> None:
    """Hash the ids of rows that took the checked path, in one kernel call each."""
    for column, texts in (
        (batch.user_hash, {row: event.user_id for row, event in events.items()}),
        (batch.event_id_hash, {row: event.event_id for row, event in events.items()}),
        (batch.order_id_hash, {row: event.order_id for row, event in events.items() if event.order_id}),
    ):
        encoded = [text if isinstance(text, bytes) else text.encode() for text in texts.values()]
        end = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        start = np.concatenate((np.zeros(1, np.int64), end))[:-1]
        column[list(texts)] = hash_spans(np.frombuffer(b"".join(encoded), np.uint8), start, end)


def _placed(text: Bytes, texts: dict[int, bytes], spans: Int64s) -> TextSpans:
    """Add texts of the checked path, by row, to the spans of the scan: places and sizes."""
    at = 0
    for row, own in texts.items():
        spans[:, row] = -1 - at, len(own)
        at += len(own)
    extra = np.frombuffer(b"".join((*texts.values(), bytes(TEXT_SLACK))), np.uint8)
    return TextSpans(text, extra, *spans)
