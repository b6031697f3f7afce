"""This file finds the event ids of messages that wait in several batches."""

from collections.abc import Sequence

import numpy as np

from scoring.events import Bytes, EventBatch, Int64s
from scoring.text_spans import NO_BYTES, copy_texts, starts_of

Part = tuple[EventBatch, Int64s, int]
"""A batch, the rows of its users, and its first message that counts."""


def ids_of(parts: Sequence[Part], messages: Int64s) -> tuple[Bytes, Int64s]:
    """Join the ids of messages of the joined parts, and answer their sizes; a message below 0 has an empty one."""
    ends = np.cumsum([len(batch) - first for batch, _, first in parts])
    part_of = np.where(messages < 0, -1, np.searchsorted(ends, messages, side="right"))
    size = np.zeros(messages.shape[0], np.int64)
    wanted = []
    for n in np.unique(part_of[part_of >= 0]).tolist():
        batch = parts[n][0]
        here = np.flatnonzero(part_of == n)
        at = messages[here] - ends[n] + len(batch)
        size[here] = batch.event_ids.size[at]
        wanted.append((batch.event_ids, here, at))
    start = starts_of(size)
    joined = np.empty(int(start[-1]), np.uint8)
    for spans, here, at in wanted:
        copy_texts(spans.text, spans.extra, spans.at[at], spans.size[at], start[here], joined)
    return joined, size


def no_ids(messages: Int64s) -> tuple[Bytes, Int64s]:
    """Answer that no message caused anything."""
    return NO_BYTES, np.zeros(messages.shape[0], np.int64)
