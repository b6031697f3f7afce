"""This file holds many messages in one piece of memory, as the scan reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast, overload

import numpy as np

from scoring.events import Bytes, Int64s

PADDING = bytes(64)  # No step of the scan reads further behind the zero byte that ends a message.


@dataclass(frozen=True, slots=True)
class JoinedValues(Sequence[bytes | None]):
    """
    Hold values one behind the other, each ended by a zero byte, PADDING behind the last.

    Attributes:
        start: value n is text[start[n]:start[n + 1] - 1].
        apart: by its place, what is empty in the text: tombstones, None, and what is too large to be scanned.
    """

    text: Bytes
    start: Int64s
    apart: dict[int, bytes | None] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.start.shape[0] - 1

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> JoinedValues: ...
    def __getitem__(self, at: int | slice) -> bytes | JoinedValues | None:
        if isinstance(at, slice):
            assert (at.start or 0, at.step or 1) == (0, 1), at
            return JoinedValues(self.text, self.start[: at.stop + 1], self.apart)
        if at in self.apart:
            return self.apart[at]
        return self.text[self.start[at] : self.start[at + 1] - 1].tobytes()


def joined(values: Sequence[bytes | None], size_max: int) -> JoinedValues:
    """Join values; tombstones and those over `size_max` bytes are kept apart."""
    texts = cast("Sequence[bytes]", values)
    apart: dict[int, bytes | None] = {}
    try:
        sizes = _sizes(texts)
    except TypeError:  # A tombstone has no length.
        apart = {n: None for n, value in enumerate(values) if value is None}
        texts = [value or b"" for value in values]
        sizes = _sizes(texts)
    if sizes.max(initial=0) > size_max:
        apart |= {n: texts[n] for n in np.flatnonzero(sizes > size_max).tolist()}
        texts = [b"" if n in apart else text for n, text in enumerate(texts)]
        sizes = _sizes(texts)
    start = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(sizes + 1, out=start[1:])
    return JoinedValues(np.frombuffer(b"\0".join((*texts, PADDING)), np.uint8), start, apart)


def _sizes(texts: Sequence[bytes]) -> Int64s:
    return np.fromiter(map(len, texts), np.int64, len(texts))
