"""How tuned peers in Python read an event: only the fields that count, typed. This file needs msgspec."""

from datetime import datetime

import msgspec


class Event(msgspec.Struct, gc=False):
    """The fields of an event that count."""

    user_id: str
    type: str
    event_time: datetime
    amount: str = "0"


_decode = msgspec.json.Decoder(Event).decode


def decoded(value: bytes | str) -> tuple[str, str, int, int]:
    """Answer user, kind, time and cents of a message, as `parsed` does of a dict."""
    event = _decode(value)
    at_ms = round(event.event_time.timestamp() * 1000)
    return event.user_id, event.type, at_ms, round(float(event.amount) * 100)
