"""Read real events from JSON lines, packed or not. This file shapes them like generated messages."""

import gzip
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from flows.dev.generator import Message


class _Addressed(msgspec.Struct):
    """The two fields that address a line; all others stay unread."""

    user_id: str
    event_time: str | int


_decoder = msgspec.json.Decoder(_Addressed)


def replay(path: Path, topic: str) -> Iterator[Message]:
    """
    Yield the lines of FILE.jsonl or FILE.jsonl.gz in their order, unchanged, keyed by their user.

    A line that names no user or time keeps its place: no key, and the Kafka time of the line before it.
    """
    last_ms = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            value = line.rstrip(b"\r\n")
            if not value:
                continue
            try:
                address = _decoder.decode(value)
                user_id, last_ms = address.user_id, _time_ms(address.event_time)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                user_id = ""
            yield Message(topic, user_id.encode(), value, last_ms)


def _time_ms(time: str | int) -> int:
    return time if isinstance(time, int) else round(datetime.fromisoformat(time).timestamp() * 1000)
