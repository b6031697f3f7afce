"""This file lays messages out where reading behind them is seen: among hostile bytes, before the end of memory."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence

import numpy as np

from scoring.joined import PADDING, JoinedValues, joined

HOSTILE = (
    b'","user_id":"h"}',
    b'":0}',
    b"9" * 64,
    b"}" * 64,
    b'"' * 64,
    b"\\u0041" * 10,
    b"\xbf" * 64,
    b" \n" * 32,
)
"""What may stand behind the zero byte of the last message, each as if it went on."""
PROT_NONE = 0


class MemoryBeforeWall:
    """
    Hold one text at a time; the byte behind its last ends the process when it is read.

    It is the layout that flows/direct hands over, but that PADDING is not zero.
    """

    def __init__(self, size: int) -> None:
        self._end = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, self._end + mmap.PAGESIZE)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        wall = ctypes.c_void_p(self._bytes.ctypes.data + self._end)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(wall, ctypes.c_size_t(mmap.PAGESIZE), PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def laid_out(self, values: Sequence[bytes | None], size_max: int, hostile: bytes) -> JoinedValues:
        """Copy values here; those laid out before are gone."""
        plain = joined(values, size_max)
        text = self._bytes[self._end - plain.text.shape[0] : self._end]
        text[:] = plain.text
        text[-len(PADDING) :] = np.frombuffer(hostile.ljust(len(PADDING), b"x")[: len(PADDING)], np.uint8)
        return JoinedValues(text, plain.start, plain.apart)
