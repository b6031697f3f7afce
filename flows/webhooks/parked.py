"""What a message of the topic of parked changes looks like. This file writes and reads it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from flows.dead_letters.letter import Letter, Place
from flows.webhooks.lanes import Delivery
from sinks.keyspace import time_text

PLAN_USED_UP, GONE, DEAD, CROWDED_OUT = "plan_used_up", "gone", "endpoint_dead", "crowded_out"
REASONS = (PLAN_USED_UP, GONE, DEAD, CROWDED_OUT)
"""The plan is used up; the endpoint said 410; its plan is used up; it refuses too many while it takes others."""


def key_of(endpoint: str, message_id: str) -> bytes:
    """Name a parked change: the same key with no value, further on in the topic, says that it was sent."""
    return f"{endpoint}/{message_id}".encode()


def headers_for(
    delivery: Delivery, endpoint: str, reason: str, now_ms: int
) -> list[tuple[str, str | bytes | None]]:
    """Say what was parked, and why."""
    change = delivery.change
    headers = {
        "endpoint": endpoint,
        "webhook_id": change.id,
        "user_id": change.user_id,
        "reason": reason,
        "detail": delivery.why,
        "attempts": str(delivery.attempts),
        "partition": str(change.partition),
        "offset": str(change.offset),
        "parked_at": time_text(now_ms),
    }
    return [("content-type", b"application/json"), *((name, text.encode()) for name, text in headers.items())]


@dataclass(frozen=True, slots=True)
class Filter:
    """Choose parked changes; an empty part chooses all."""

    ids: Collection[str] = ()
    endpoints: Collection[str] = ()
    reasons: Collection[str] = ()
    since_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Tell whether one is chosen."""
        return (
            (not self.ids or letter.text("webhook_id") in self.ids)
            and (not self.endpoints or letter.text("endpoint") in self.endpoints)
            and (not self.reasons or letter.text("reason") in self.reasons)
            and (self.since_ms is None or letter.stored_ms >= self.since_ms)
        )


def still_parked(letters: Iterable[Letter], wanted: Filter) -> set[Place]:
    """
    Answer where the chosen changes are that were not sent since they were parked.

    One that was parked twice, since a process was killed in between, is taken where it stands first: there
    each user's changes are in order.
    """
    places: dict[bytes, Place] = {}
    for letter in letters:
        key = letter.key or b""
        if not letter.value:
            places.pop(key, None)
        elif wanted.takes(letter):
            places.setdefault(key, letter.place)
    return set(places.values())
