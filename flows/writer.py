"""
This file runs the stages behind `score`, commit and emit, on a thread of their own.

While one commit is on its way to the store, the next batch is read and scored: kernels and sockets let go of
the interpreter. What is handed over is a copy, and one thread works it off in order, so that nothing of what
the stages rely on changes; only one of the two threads uses a shard's connection at any time (see `settle`).
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from flows.commit import Commit
from flows.emit import Emit
from flows.items import Due, Flush, Released, Scored
from flows.progress import Progress

NOTE_S = 0.02
"""How often the broker's confirmations are heard while something is on its way."""


class Writer(StatelessSinkPartition[Due]):
    """Take items from the dataflow and work them off behind its back, in order."""

    def __init__(self, commit: Commit, emit: Emit, progress: Progress) -> None:
        self._commit = commit
        self._emit = emit
        self._progress = progress
        self._waiting: deque[Due] = deque()
        self._has_news = threading.Condition()
        self._is_ending = False
        self._noted_s = float("-inf")
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def write_batch(self, items: list[Due]) -> None:
        """Take one batch of items; never blocks."""
        with self._has_news:
            self._waiting.extend(items)
            self._progress.hand_over(sum(isinstance(item, Scored) for item in items))
            self._has_news.notify_all()

    def hand_over(self, items: Sequence[Due]) -> None:
        """Take what is due before shards are given back; return when it is stored, and published if that goes fast."""
        released = [item for item in items if isinstance(item, Released)]
        scored = [item for item in items if not isinstance(item, Released)]
        self.write_batch([*scored, Flush(), *released])
        self.settle()

    def settle(self, timeout_s: float | None = None) -> None:
        """
        Wait until everything taken so far is done, or can never be.

        The thread of the dataflow does so before it uses the store itself: to claim, to load, to look for requests.
        """
        with self._has_news:
            self._has_news.wait_for(lambda: not self._progress.is_writing, timeout_s)

    def end(self) -> None:
        """Finish what was taken, and end the thread."""
        with self._has_news:
            self._is_ending = True
            self._has_news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (items := self._take()) is not None:
            if self._progress.failure:  # Nothing more goes out; what is left is read again by the next owner.
                continue
            try:
                self._work_off(items)
            except Exception as error:
                self._progress.fail(error)

    def _take(self) -> list[Due] | None:
        """Wait for items; answer none when it is time to listen to the broker, None at the end."""
        with self._has_news:
            self._progress.end_writing(has_more=bool(self._waiting))
            if not self._waiting:
                self._has_news.notify_all()
                if self._is_ending:
                    return None
                self._has_news.wait(NOTE_S if self._progress.unpublished() else None)
            items = list(self._waiting)
            self._waiting.clear()
            if items:
                self._progress.begin_writing()
            return items

    def _work_off(self, items: Sequence[Due]) -> None:
        for written in self._commit(items):
            self._emit(written)
            if time.monotonic() - self._noted_s >= NOTE_S:
                self._note()
        self._note()

    def _note(self) -> None:
        self._emit.note()
        self._noted_s = time.monotonic()


class Write(DynamicSink[Due]):
    """Give the one worker of this process its one writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Writer:
        """Answer the writer."""
        assert worker_count == 1, worker_count
        return self._writer
