"""Messages that become durable together are stored as one, and come back as they were."""

import msgspec
import pytest

from sinks import outbox
from sinks.outbox import OutboxBatch, OutboxEntry, from_stream, pack, to_bytes

CHANGE = OutboxEntry("change", "ü".encode(), (("ce_id", b"1"), ("ce_time", b"")), b"{}")
TOMBSTONE = OutboxEntry("change", b"u", (), None)
LETTER = OutboxEntry("dead_letter", None, (("reason", b"not_json"),), b"\xff" * 300)


def test_batch__gives_back_what_was_packed() -> None:
    """Messages come back in order, each with an id that counts on from the batch's own."""
    batch = pack([CHANGE, TOMBSTONE, LETTER]).numbered(12)
    assert (batch.id, batch.count, batch.last_id) == ("12-0", 3, "12-2")
    entries = batch.entries()
    assert [one.id for one in entries] == ["12-0", "12-1", "12-2"]
    assert [msgspec.structs.replace(one, id="") for one in entries] == [CHANGE, TOMBSTONE, LETTER]
    assert pack([CHANGE]).entries() == [CHANGE]


def test_batch__is_its_messages_one_behind_the_other() -> None:
    """Whoever renders messages may do so in any number of parts."""
    whole = pack([CHANGE, LETTER], "7-3")
    assert whole == OutboxBatch("7-3", 2, to_bytes(CHANGE) + to_bytes(LETTER))
    assert [one.id for one in whole.entries()] == ["7-3", "7-4"]


def test_batch__of_a_stream_is_as_it_was_written() -> None:
    """The fields of a stream entry, or the one of an earlier version, are a batch."""
    batch = pack([CHANGE, LETTER], "7-0")
    stored = [str(one).encode() if isinstance(one, int) else one for one in batch.fields()]
    assert from_stream(b"7-0", stored) == batch
    assert from_stream(b"7-5", [b"entry", to_bytes(LETTER)]) == pack([LETTER], "7-5")


@pytest.mark.parametrize("most", [1, 350, 700, 1_000_000])
def test_pieces__hold_the_same_messages(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short a piece must be, ids and messages stay, and none is empty."""
    monkeypatch.setattr(outbox, "PIECE_BYTES_MAX", most)
    batch = pack([CHANGE, LETTER, TOMBSTONE, LETTER, LETTER, CHANGE], "3-0")
    pieces = list(batch.pieces())
    assert all(len(piece.packed) <= most or piece.count == 1 for piece in pieces)
    assert all(piece.count for piece in pieces)
    assert [one for piece in pieces for one in piece.entries()] == batch.entries()
    assert pieces[-1].last_id == batch.last_id
