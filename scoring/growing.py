"""This file holds memory that grows without being copied: address space is reserved, and taken when it is touched."""

import mmap
import os
from contextlib import suppress

import numpy as np

from scoring.events import Int64s

_WORD_BYTES = 8
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Linux does not count what is not touched; Python names it from 3.13 on."""


class GrowingWords:
    """Hold words that may double: those that are there keep their values, new ones are zero."""

    def __init__(self, count: int) -> None:
        self.words: Int64s = np.zeros(count, np.int64)
        self._space: Int64s = np.empty(0, np.int64)

    def double(self) -> Int64s:
        """Answer twice as many words; the array that was there is not to be written to any more."""
        count = self.words.shape[0]
        if 2 * count > self._space.shape[0]:
            space = reserved(2 * count)
            space[:count] = self.words
            self._space = space
        self.words = self._space[: 2 * count]
        return self.words


def reserved(count: int) -> Int64s:
    """Answer zeros, at least so many: as many as the machine has memory for, or else not more than asked."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        space = mmap.mmap(-1, max(machine, count * _WORD_BYTES), flags=flags)
    except OSError:  # Address space is limited here, or the kernel counts what is only reserved.
        return np.zeros(count, np.int64)
    with suppress(OSError):  # A kernel without huge pages.
        space.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(space, np.int64)
