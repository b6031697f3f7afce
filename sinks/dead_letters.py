"""This file turns input that was set aside into messages of the dead-letter topic."""

from collections.abc import Iterable
from typing import Any

from scoring.events import DeadLetter
from sinks.keyspace import time_text
from sinks.outbox import OutboxEntry

VALUE_BYTES_MAX = 65_536
KEY_BYTES_MAX = 1_024
ATTEMPT = "attempt"
ORIGINAL_SIZE = "original_size"
_DIGITS_MAX = 9
Headers = list[tuple[str, bytes | None]]


def entry_of(dead_letter: DeadLetter, failed_at_ms: int) -> OutboxEntry:
    """
    Render one dead letter with its original key and bytes; these are cut to 64 KiB, a key over 1 KiB is left out.

    Args:
        failed_at_ms: when it was set aside, processing time.
    """
    headers = [
        ("reason", dead_letter.reason.label.encode()),
        ("detail", dead_letter.detail.encode(errors="replace")),
        ("topic", dead_letter.topic.encode()),
        ("partition", str(dead_letter.partition).encode()),
        ("offset", str(dead_letter.offset).encode()),
        ("failed_at", time_text(failed_at_ms).encode()),
    ]
    key, attempt = dead_letter.envelope
    if attempt:
        headers.append((ATTEMPT, str(attempt).encode()))
    value = dead_letter.value
    if len(value) > VALUE_BYTES_MAX:
        headers.append((ORIGINAL_SIZE, str(len(value)).encode()))
        value = value[:VALUE_BYTES_MAX]
    if key is not None and len(key) > KEY_BYTES_MAX:
        key = None
    return OutboxEntry("dead_letter", key, tuple(headers), value)


def attempt_in(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Answer how often a message was replayed; 0 when its headers do not say so in decimal digits."""
    text = dict(headers).get(ATTEMPT)
    return int(text) if text and len(text) <= _DIGITS_MAX and text.isdigit() else 0


def headers_of(message: Any) -> Headers:
    """Answer the headers of a message from Kafka; none when one of their names is not UTF-8. Ask once a message."""
    return readable_headers(message) or []


def readable_headers(message: Any) -> Headers | None:
    """
    Answer the headers of a message from Kafka; None when one of their names is not UTF-8.

    To be asked once a message: the second time confluent-kafka gives such a name as a null pointer.
    """
    try:
        return message.headers() or []
    except (SystemError, UnicodeError):  # What confluent-kafka makes of such a name.
        return None
