"""This file collects the fixed pieces of bytes that a kernel puts together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pieces = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Arena:
    """Number fragments in the order they are added; each may have another spelling."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._others: list[bytes] = []

    def add(self, piece: bytes, other: bytes = b"") -> int:
        """Add a fragment; answer its number."""
        self._pieces.append(piece)
        self._others.append(other)
        return len(self._pieces) - 1

    def arrays(self) -> Pieces:
        """Answer all of them: fragment f is bytes[start[f]:start[f + 1]]."""
        return _joined(self._pieces)

    def other_arrays(self) -> Pieces:
        """Answer the other spellings, under the same numbers."""
        return _joined(self._others)


def _joined(pieces: Sequence[bytes]) -> Pieces:
    start = np.concatenate(([0], np.cumsum([len(piece) for piece in pieces]))).astype(np.int64)
    return np.frombuffer(b"".join(pieces), dtype=np.uint8).copy(), start
