"""This file runs several iterators in turns: while one waits for an answer, another goes on."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Turns = Iterator[Item | None]
"""What yields None where it has asked for something and the answer can wait for others."""

AT_ONCE = 2
"""How many shards are written in turns: enough for the store to have work while we have."""


def in_turns(workers: Iterable[Turns[Item]], at_once: int) -> Iterator[Item]:
    """Answer the items of all workers, of which so many are under way at once; each one's are in its order."""
    waiting = deque(workers)
    active = deque(waiting.popleft() for _ in range(min(at_once, len(waiting))))
    while active:
        worker = active.popleft()
        for item in worker:
            if item is None:
                active.append(worker)
                break
            yield item
        else:
            if waiting:  # Before those who may have been answered: it has something to ask for.
                active.appendleft(waiting.popleft())
