"""This file turns input that was set aside into messages of the dead-letter topic."""

from scoring.events import DeadLetter
from sinks.keyspace import time_text
from sinks.outbox import OutboxEntry

VALUE_BYTES_MAX = 65_536


def entry_of(dead_letter: DeadLetter, failed_at_ms: int) -> OutboxEntry:
    """
    Render one dead letter with its original bytes, cut to 64 KiB.

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
    value = dead_letter.value
    if len(value) > VALUE_BYTES_MAX:
        headers.append(("original_size", str(len(value)).encode()))
        value = value[:VALUE_BYTES_MAX]
    return OutboxEntry("dead_letter", None, tuple(headers), value)
