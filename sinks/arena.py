"""This file collects the fixed pieces of bytes that a kernel puts together."""

import numpy as np
from numpy.typing import NDArray


class Arena:
    """Number fragments in the order they are added."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> int:
        """Add a fragment; answer its number."""
        self._pieces.append(piece)
        return len(self._pieces) - 1

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Answer all of them: fragment f is bytes[start[f]:start[f + 1]]."""
        sizes = [len(piece) for piece in self._pieces]
        start = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        return np.frombuffer(b"".join(self._pieces), dtype=np.uint8).copy(), start
