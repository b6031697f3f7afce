"""This file tests memory that grows."""

import numpy as np
import pytest

from scoring import growing
from scoring.growing import GrowingWords


@pytest.mark.parametrize("machine_has_room", [True, False])
def test_growing_words__keep_what_they_hold(monkeypatch: pytest.MonkeyPatch, machine_has_room: bool) -> None:
    """Words keep their values and new ones are zero, whether space can be reserved or has to be copied."""
    if not machine_has_room:
        monkeypatch.setattr(growing.mmap, "mmap", refuse)
    memory = GrowingWords(1024)
    memory.words[:] = np.arange(1024)
    for count in (2048, 4096, 8192):
        words = memory.double()
        assert words is memory.words
        assert (words.shape[0], words.flags.writeable, words.flags.c_contiguous) == (count, True, True)
        assert words[:1024].tolist() == list(range(1024))
        assert not words[1024:].any()


def test_growing_words__do_not_move() -> None:
    """From the first time on growing copies nothing: the words stay where they are."""
    memory = GrowingWords(1024)
    places = {memory.double().ctypes.data for _ in range(10)}
    assert len(places) == 1


def refuse(*_: object, **__: object) -> None:
    """Refuse as a kernel does that limits address space."""
    raise OSError(12, "Cannot allocate memory")
