"""This file keeps the decoded messages of one topic that wait for their turn."""

from collections import deque

import numpy as np

from scoring.events import EventBatch, Int64s


class TopicQueue:
    """Hold batches in offset order; `taken` counts the messages of the first batch that are done."""

    def __init__(self) -> None:
        self._batches: deque[tuple[EventBatch, Int64s]] = deque()
        self._taken = 0
        self._size = 0
        self._reached = 0
        self.next_offset: int | None = None

    def __len__(self) -> int:
        return self._size

    def add(self, batch: EventBatch, rows: Int64s) -> None:
        """Queue a batch with the row of each message's user."""
        if len(batch):
            self._batches.append((batch, rows))
            self._size += len(batch)

    def reach(self, offset: int) -> bool:
        """Note that nothing but what is queued stands before this offset; tell whether that moves the next one."""
        self._reached = offset
        if self._size or offset <= (self.next_offset or 0):
            return False
        self.next_offset = offset
        return True

    def slices(self) -> list[tuple[EventBatch, Int64s, int]]:
        """List what waits: batch, rows and the first message that is not done."""
        return [(batch, rows, 0 if n else self._taken) for n, (batch, rows) in enumerate(self._batches)]

    def rows(self) -> Int64s:
        """List the rows of the users whose messages wait; -1 for those of nobody."""
        return np.concatenate([np.empty(0, np.int64), *(rows for _, rows in self._batches)])

    def renumber(self, new_row: Int64s) -> None:
        """Follow users to other rows: new_row[r] is that of row r."""
        self._batches = deque(
            (batch, np.where(rows < 0, rows, new_row[rows])) for batch, rows in self._batches
        )

    def take(self, count: int) -> None:
        """Let go of the first messages, which are done."""
        self._size -= count
        self._taken += count
        while self._batches and self._taken >= len(self._batches[0][0]):
            batch, _ = self._batches.popleft()
            self._taken -= len(batch)
            self.next_offset = int(batch.offset[-1]) + 1
        if self._taken:
            self.next_offset = int(self._batches[0][0].offset[self._taken])
        elif self.next_offset is not None and not self._size:
            self.next_offset = max(self.next_offset, self._reached)


def column(parts: list[tuple[EventBatch, Int64s, int]], name: str) -> np.ndarray:
    """Join one column of what waits."""
    return np.concatenate([getattr(batch, name)[first:] for batch, _, first in parts])
