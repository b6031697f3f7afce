"""This file holds what lies in a shard's outbox until it is published."""

from typing import Literal

import msgspec

Kind = Literal["change", "dead_letter"]
FIELD = b"entry"


class OutboxEntry(msgspec.Struct, frozen=True):
    """
    One message to publish, as it will go to Kafka.

    id: "<write number>-<index>", given by the store when the entry is written; "" before.
    kind: which of the two topics it goes to.
    """

    kind: Kind
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None
    id: str = ""

    def numbered(self, write_number: int, index: int) -> "OutboxEntry":
        """Answer the same entry with its place in the stream."""
        return OutboxEntry(self.kind, self.key, self.headers, self.value, f"{write_number}-{index}")


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    kind: Kind
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)


def to_bytes(entry: OutboxEntry) -> bytes:
    """Pack an entry without its id."""
    return _encoder.encode((entry.kind, entry.key, entry.headers, entry.value))


def from_bytes(entry_id: str, packed: bytes) -> OutboxEntry:
    """Unpack what to_bytes packed."""
    stored = _decoder.decode(packed)
    return OutboxEntry(stored.kind, stored.key, stored.headers, stored.value, entry_id)


def id_order(entry_id: str) -> tuple[int, int]:
    """Answer a key that sorts ids the way the stream does."""
    number, index = entry_id.split("-")
    return int(number), int(index)


def id_after(entry_id: str) -> str:
    """Answer the smallest id behind this one."""
    number, index = id_order(entry_id)
    return f"{number}-{index + 1}"
