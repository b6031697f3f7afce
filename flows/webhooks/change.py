"""This file reads one message of the change topic: what it is, who wants it, and what is sent of it."""

from typing import Any

import msgspec

from config.webhook_settings import Endpoint
from flows.webhooks.signing import webhook_id
from sinks.dead_letters import headers_of


class _Looked(msgspec.Struct):
    """What is looked at; the rest is passed on as it is."""

    user_id: str
    seq: int
    ladder: str
    direction: str
    cause: str


class _Payload(msgspec.Struct):
    """The body, as the specification recommends it."""

    type: str
    timestamp: str
    data: msgspec.Raw


_decoder = msgspec.json.Decoder(_Looked)
_encoder = msgspec.json.Encoder()


class Change(msgspec.Struct, frozen=True):
    """
    Hold one change on its way to an endpoint; the same change always gives the same id and body.

    Attributes:
        stored_ms: Kafka's time of it.
    """

    id: str
    user_id: str
    seq: int
    ladder: str
    direction: str
    cause: str
    body: bytes
    partition: int
    offset: int
    stored_ms: int


def read_change(message: Any) -> Change | None:
    """Read a message; None when it is no change: a tombstone, or of somebody else."""
    headers = dict(headers_of(message))
    value = message.value()
    try:
        names = [(headers.get(name) or b"").decode() for name in ("ce_id", "ce_type", "ce_time")]
        looked = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    ce_id, ce_type, ce_time = names
    if not (ce_id and ce_type):
        return None
    return Change(
        id=webhook_id(ce_id),
        user_id=looked.user_id,
        seq=looked.seq,
        ladder=looked.ladder,
        direction=looked.direction,
        cause=looked.cause,
        body=_encoder.encode(_Payload(ce_type, ce_time, msgspec.Raw(value))),
        partition=message.partition(),
        offset=message.offset(),
        stored_ms=message.timestamp()[1],
    )


def is_wanted(change: Change, endpoint: Endpoint) -> bool:
    """Tell whether an endpoint asked for such changes."""
    return all(
        not wanted or found in wanted
        for found, wanted in (
            (change.ladder, endpoint.ladders),
            (change.direction, endpoint.directions),
            (change.cause, endpoint.causes),
        )
    )
