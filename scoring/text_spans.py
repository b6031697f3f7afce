"""This file joins short texts that stand somewhere in longer ones."""

from itertools import pairwise

import numpy as np
from numba import types

from scoring.events import TEXT_SLACK, Bytes, Int64s, TextSpans
from scoring.jit import kernel

READ_ONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
INTS = types.int64[::1]
NO_BYTES: Bytes = np.empty(0, np.uint8)
NO_TEXT: Bytes = np.zeros(TEXT_SLACK, np.uint8)


@kernel(types.void(READ_ONLY_BYTES, READ_ONLY_BYTES, INTS, INTS, INTS, types.uint8[::1]))
def copy_texts(text: Bytes, extra: Bytes, at: Int64s, size: Int64s, to: Int64s, out: Bytes) -> None:
    """Copy text n, as TextSpans has it, to out[to[n]:to[n] + size[n]]."""
    for n in range(at.shape[0]):
        source_at, target = at[n], to[n]
        if source_at >= 0:
            for k in range(size[n]):
                out[target + k] = text[source_at + k]
        else:
            for k in range(size[n]):
                out[target + k] = extra[-1 - source_at + k]


def starts_of(size: Int64s) -> Int64s:
    """Answer where texts of these sizes begin one behind the other, and where the last one ends."""
    start = np.zeros(size.shape[0] + 1, np.int64)
    np.cumsum(size, out=start[1:])
    return start


def gathered(spans: TextSpans) -> tuple[Bytes, Int64s]:
    """Join the texts, with TEXT_SLACK bytes behind them; text n is bytes[start[n]:start[n + 1]]."""
    start = starts_of(spans.size)
    joined = np.empty(int(start[-1]) + TEXT_SLACK, np.uint8)
    copy_texts(*spans, start[:-1], joined)
    return joined[: int(start[-1])], start


def apart(joined: Bytes, start: Int64s) -> list[bytes]:
    """Answer texts that were joined, one by one; text n is joined[start[n]:start[n + 1]]."""
    text, ends = joined[start[0] : start[-1]].tobytes(), (start - start[0]).tolist()
    return [text[begin:end] for begin, end in pairwise(ends)]
