"""This file reads one message of the dead-letter topic: what was set aside, where it had been, and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from flows.formats.cloud_events import is_of_event
from sinks.dead_letters import ORIGINAL_SIZE, attempt_in, headers_of


class Place(NamedTuple):
    """Name a message of the dead-letter topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Source(NamedTuple):
    """Name the message that was set aside, on its input topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """
    Hold one dead letter; the topic may hold messages of others, so no header can be relied on.

    Attributes:
        stored_ms: Kafka's time of it.
    """

    place: Place
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    stored_ms: int

    @classmethod
    def of(cls, message: Any) -> Self:
        """Read a message from Kafka."""
        return cls(
            place=Place(message.partition(), message.offset()),
            key=message.key(),
            value=message.value() or b"",
            headers=tuple(headers_of(message)),
            stored_ms=message.timestamp()[1],
        )

    def text(self, name: str) -> str | None:
        """Answer a header as text, the last of that name; None when there is none."""
        value = dict(self.headers).get(name)
        return None if value is None else value.decode(errors="backslashreplace")

    @property
    def reason(self) -> str:
        """Answer why it was set aside, `-` when it does not say."""
        return self.text("reason") or "-"

    @property
    def source(self) -> Source | None:
        """Answer where it had been; None when it does not say."""
        topic, partition, offset = self.text("topic"), self._number("partition"), self._number("offset")
        return (
            None if topic is None or partition is None or offset is None else Source(topic, partition, offset)
        )

    @property
    def attempt(self) -> int:
        """Answer how often it had been replayed before."""
        return attempt_in(self.headers)

    @property
    def event_headers(self) -> list[tuple[str, bytes | None]]:
        """Answer the headers that are part of the message itself: those of a CloudEvent."""
        return [(name, value) for name, value in self.headers if is_of_event(name)]

    @property
    def original_size(self) -> int | None:
        """Answer the bytes it had before it was cut; None when it is whole."""
        return self._number(ORIGINAL_SIZE)

    @property
    def failed_at_ms(self) -> int:
        """Answer when it was set aside; Kafka's time when it does not say."""
        try:
            return int(datetime.fromisoformat(self.text("failed_at") or "").timestamp() * 1000)
        except (ValueError, OverflowError):
            return self.stored_ms

    def _number(self, name: str) -> int | None:
        text = self.text(name)
        return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
