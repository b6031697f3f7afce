"""This file names what the kernels change: users' rows, their variable parts, and what came of a pass."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.tables import F64, I64

HEAP_CLASSES = 96

# Places in `counts`.
(
    C_DIRTY,
    C_CHANGES,
    C_IDS_EVICTED,
    C_ORDERS_EVICTED,
    C_REFUND_EXCESS,
    C_DEADLINES,
    C_VACANT,  # rows that nobody has
    C_FREE,  # words of the pool in free lists
) = range(8)

# In `place`; a place below it is that of a user at rest.
BLANK = -1

# Columns of `changes`.
(
    X_ROW,
    X_LADDER,
    X_FROM,
    X_TO,
    X_CAUSE,
    X_EVENT,
    X_AT,
    X_PREVIOUS_SINCE,
    X_FALLS_AT,
    X_SEQ,
) = range(10)
CHANGE_WORDS = 10
CAUSE_EVENT, CAUSE_TIME, CAUSE_REFUND, CAUSE_POLICY = range(4)
CAUSES = ("event", "time", "refund", "policy")


class State(NamedTuple):
    """
    The users of a shard: those at work have a row, the others rest in a block of the pool, or are not known yet.

    `rows` and `rows_f` are one memory seen as integers and as floats, `pool` and `pool_bytes` one as words and bytes.
    """

    rows: I64  # (places, width)
    rows_f: F64  # (places, width)
    vacant: I64  # (places), the first counts[C_VACANT] are those of rows that nobody has
    place: I64  # (users), of the row; or BLANK; or the inverted place of the block in the pool
    due: I64  # (users), no deadline of the user is earlier
    dirty: NDArray[np.uint8]  # (users), 1 when listed in dirty_rows
    dirty_rows: I64  # (users)
    pool: I64  # (words), blocks for remembered ids and orders, and for users at rest
    pool_bytes: NDArray[np.uint8]
    heap: I64  # (1 + HEAP_CLASSES), first unused word, then a free list for each block size
    counts: I64  # (8)


class Changes(NamedTuple):
    """Ladder changes in the order they happened."""

    facts: I64  # (capacity, CHANGE_WORDS)
    score: F64  # (capacity)
    values: F64  # (capacity, parts)
    points: F64  # (capacity, parts)


class Events(NamedTuple):
    """Messages of a shard in columns, and the order in which they apply."""

    order: I64  # (ordered), index into the columns
    watermark_ms: I64  # (ordered), as of the message before
    topic: I64  # (messages)
    offset: I64
    fate: NDArray[np.int8]
    type: NDArray[np.int16]
    event_time_ms: I64
    row: I64
    event_id_hash: I64
    order_id_hash: I64
    amount_minor: I64
    match: I64


def new_heap() -> I64:
    """Start a pool: word 0 is never handed out, so 0 can mean "no block"."""
    heap = np.zeros(1 + HEAP_CLASSES, np.int64)
    heap[0] = 8
    return heap
