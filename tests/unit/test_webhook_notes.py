"""What is noted beside an offset reads back, fits, and harms nobody when it is not ours."""

import random

import pytest

from flows.webhooks.notes import NOTE_SIZE_MAX, Note, Tried, read_note, write_note

TRIED = Tried(3, 1_795_248_000_000.0, 1_795_251_600_000.0)


def test_note__reads_back() -> None:
    """Open changes, how far each is tried, and up to where all else is settled."""
    found = {102: TRIED, 103: None, 250: Tried(1, 7_000.0, 8_000.0)}
    assert read_note(100, write_note(100, 300, found.items(), NOTE_SIZE_MAX)) == Note(300, found)
    assert read_note(100, write_note(100, 300, (), NOTE_SIZE_MAX)) == Note(300)


def test_note__says_nothing_where_there_is_nothing_to_say() -> None:
    """When nothing behind the offset is settled, and nothing was tried, the offset alone tells all."""
    assert write_note(7, 7, [], NOTE_SIZE_MAX) == ""
    assert write_note(7, 9, [(7, None), (8, None)], NOTE_SIZE_MAX) == ""
    assert read_note(7, write_note(7, 10, [(7, None), (8, None)], NOTE_SIZE_MAX)) == Note(
        10, {7: None, 8: None}
    )


def test_note__that_is_too_long_leaves_out_the_end() -> None:
    """It always fits, and never calls anything settled that is open."""
    rng = random.Random(3)
    for _ in range(200):
        count, size_max = rng.randrange(1, 600), rng.randrange(0, NOTE_SIZE_MAX)
        offsets = sorted({0, *rng.sample(range(5_000), count)})
        found = [(offset, rng.choice((None, None, TRIED))) for offset in offsets]
        text = write_note(0, 6_000, found, size_max)
        note = read_note(0, text)
        assert len(text) <= size_max
        assert set(note.open) == {offset for offset in offsets if offset < note.until}
        assert note.until <= 6_000


@pytest.mark.parametrize(
    "text", [None, "", "2 5 0", "1", "1 x", "1 5 y", "1 5 0/1", "1 5 0/1/g/0", "hello", "1 5 0/1/2/3/4"]
)
def test_note__of_somebody_else_is_none(text: str | None) -> None:
    """What cannot be read says nothing."""
    assert read_note(5, text) == Note(5)
