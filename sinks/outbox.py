"""This file holds what lies in a shard's outbox until it is published: one batch of messages for each write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

Kind = Literal["change", "dead_letter"]
KINDS: tuple[Kind, ...] = ("change", "dead_letter")

PIECE_BYTES_MAX = 1 << 20
"""What is longer is stored in pieces: Redis takes no value over 512 MiB, and a page of the outbox is read whole."""

_MESSAGES, _COUNT = b"messages", b"count"
_SINGLE = b"entry"
"""The field of a stream entry that holds one message alone; earlier versions wrote such."""


class OutboxEntry(msgspec.Struct, frozen=True):
    """
    One message to publish, as it will go to Kafka.

    id: "<write number>-<index>", known once its batch is written; "" before.
    kind: which of the two topics it goes to.
    """

    kind: Kind
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None
    id: str = ""


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """
    Messages that became durable together, in the order of publishing.

    Attributes:
        id: of the first message; the message j behind that of "n-i" has the id "n-(i+j)". "" before it is written.
        count: how many they are.
        packed: each as `to_bytes` makes it, one behind the other.
    """

    id: str
    count: int
    packed: bytes

    @property
    def last_id(self) -> str:
        """Answer the id of the last message."""
        return self.id_of(self.count - 1)

    def id_of(self, index: int) -> str:
        """Answer the id of one message."""
        number, first = id_order(self.id)
        return f"{number}-{first + index}"

    def numbered(self, write_number: int) -> OutboxBatch:
        """Answer the same messages with their place in the stream."""
        return replace(self, id=f"{write_number}-0")

    def entries(self) -> list[OutboxEntry]:
        """Unpack the messages, each with its id."""
        stored: list[_Stored] = _decoder.decode(self._as_array())
        ids = map(self.id_of, range(self.count)) if self.id else [""] * self.count
        return [
            OutboxEntry(one.kind, one.key, one.headers, one.value, entry_id)
            for one, entry_id in zip(stored, ids, strict=True)
        ]

    def pieces(self) -> Iterator[OutboxBatch]:
        """Cut the messages into batches of at most PIECE_BYTES_MAX, or of one message that is longer."""
        if len(self.packed) <= PIECE_BYTES_MAX:
            yield self
            return
        held: list[bytes] = []
        size = first = 0
        for message in map(bytes, _splitter.decode(self._as_array())):
            if held and size + len(message) > PIECE_BYTES_MAX:
                yield OutboxBatch(self.id_of(first), len(held), b"".join(held))
                first, size, held = first + len(held), 0, []
            held.append(message)
            size += len(message)
        yield OutboxBatch(self.id_of(first), len(held), b"".join(held))

    def fields(self) -> tuple[bytes, bytes, bytes, int]:
        """Answer names and values of the stream entry that holds the messages."""
        return _MESSAGES, self.packed, _COUNT, self.count

    def _as_array(self) -> bytes:
        """Put the head of MessagePack's longest array before the messages."""
        return b"\xdd" + self.count.to_bytes(4, "big") + self.packed


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    kind: Kind
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Stored])
_splitter = msgspec.msgpack.Decoder(list[msgspec.Raw])


def pack(entries: Sequence[OutboxEntry], id: str = "") -> OutboxBatch:
    """Pack entries into a batch; their own ids are not part of it."""
    return OutboxBatch(id, len(entries), b"".join(map(to_bytes, entries)))


def to_bytes(entry: OutboxEntry) -> bytes:
    """Pack an entry without its id: the MessagePack array [kind, key, [[header name, header value], ...], value]."""
    return _encoder.encode((entry.kind, entry.key, entry.headers, entry.value))


def from_stream(entry_id: bytes, fields: Sequence[bytes]) -> OutboxBatch:
    """Read a stream entry, names and values in turn; one of an earlier version is a batch of one message."""
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    if _SINGLE in named:
        return OutboxBatch(entry_id.decode(), 1, named[_SINGLE])
    return OutboxBatch(entry_id.decode(), int(named[_COUNT]), named[_MESSAGES])


def id_order(entry_id: str) -> tuple[int, int]:
    """Answer a key that sorts ids the way the stream does."""
    number, index = entry_id.split("-")
    return int(number), int(index)


def id_after(entry_id: str) -> str:
    """Answer the smallest id behind this one."""
    number, index = id_order(entry_id)
    return f"{number}-{index + 1}"
