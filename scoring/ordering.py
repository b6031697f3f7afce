"""This file orders the messages of a shard's topics: the topic with the lowest high-water mark goes first.

So a topic that is read ahead cannot make another one late, and while no topic is at its end the order is a
function of the topics alone. Marks and watermark move with every message, also with those that are not applied.
"""

import numpy as np
from numba import types

from scoring.events import Int64s
from scoring.jit import kernel
from scoring.row import NONE

INTS = types.int64[::1]


@kernel(
    types.int64(
        INTS, types.int8[::1], INTS, INTS, types.uint8[::1], types.uint8[::1], INTS, types.int64, INTS, INTS
    )
)
def order_messages(
    event_time_ms, fate, next_at, end_at, at_end, idle, marks, out_of_orderness_ms, watermark, order
):
    """
    Take messages one by one until a topic that is not at its end has none left; answer how many were taken.

    Args:
        event_time_ms, fate: the columns of all topics, one behind the other.
        next_at, end_at: int64 (topics), the part of the columns that each topic has left. next_at is moved.
        at_end, idle: uint8 (topics): nothing more to come for now; left out of the watermark's minimum.
        marks: int64 (topics), newest event time so far, NONE before the first. Moved.
        watermark: int64 (messages + 1): [n] is that before the n-th message taken; [0] is given. Written.
        order: int64 (messages), the columns' indexes in the order of taking. Written.
    """
    topics = marks.shape[0]
    taken = 0
    while True:
        chosen = -1
        for topic in range(topics):
            if next_at[topic] == end_at[topic]:
                if not at_end[topic]:
                    return taken
            elif chosen < 0 or marks[topic] < marks[chosen]:
                chosen = topic
        if chosen < 0:
            return taken
        i = next_at[chosen]
        next_at[chosen] = i + 1
        if fate[i] == 0:
            marks[chosen] = max(marks[chosen], event_time_ms[i])
        order[taken] = i
        taken += 1
        lowest = marks[chosen]
        for topic in range(topics):
            if not idle[topic]:
                lowest = min(lowest, marks[topic])
        watermark[taken] = watermark[taken - 1]
        if lowest != NONE:
            watermark[taken] = max(watermark[taken], lowest - out_of_orderness_ms)


def no_marks(topics: int) -> Int64s:
    """Answer the marks of topics that have shown nothing yet."""
    return np.full(topics, NONE, np.int64)
