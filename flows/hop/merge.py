"""In which order partitions are copied. This file merges them by time, oldest message first."""

from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heapreplace
from typing import Any

HOLD_MS = 2_000
WAITING_SIZE_MAX = 64_000_000
WAITING_SIZE_MIN = 2_000_000
"""A partition is granted this much however many there are: each pause throws away what was fetched ahead."""
MESSAGE_OVERHEAD = 500


class Merge:
    """
    Give out messages of several partitions by their timestamps, each partition's in its own order.

    A topic that is not keyed by user has a user's events in several partitions. A backlog that was copied
    partition by partition would make most of them late, beyond what the worker still counts.

    The oldest message goes as soon as each partition has one waiting or is at its end. A partition that gives
    nothing for `hold_ms`, since its broker is away, is not waited for.
    """

    def __init__(self, hold_ms: int = HOLD_MS) -> None:
        self._hold_ms = hold_ms
        self._waiting: dict[int, deque[Any]] = {}
        self._size: dict[int, int] = {}
        self._far_ahead: set[int] = set()
        self._at_end: set[int] = set()
        self._awaited_since_ms: dict[int, int] = {}

    def drained(self) -> set[int]:
        """Name the partitions that are at their end, everything handed over."""
        return {partition for partition in self._at_end if not self._waiting[partition]}

    def far_ahead(self) -> set[int]:
        """Name the partitions that need not be read on until half of what they have has gone."""
        limit = max(WAITING_SIZE_MIN, WAITING_SIZE_MAX // max(1, len(self._size)))
        self._far_ahead = {
            partition
            for partition, size in self._size.items()
            if size > (limit // 2 if partition in self._far_ahead else limit)
        }
        return self._far_ahead

    def begin(self, partitions: Iterable[int], now_ms: int) -> None:
        """Forget everything, and expect messages of these partitions."""
        self._waiting = {partition: deque() for partition in partitions}
        self._size = dict.fromkeys(self._waiting, 0)
        self._far_ahead = set()
        self._at_end.clear()
        self._awaited_since_ms = dict.fromkeys(self._waiting, now_ms)

    def add(self, message: Any) -> None:
        """Take in the next message of a partition."""
        partition = message.partition()
        self._waiting[partition].append(message)
        self._size[partition] += len(message) + MESSAGE_OVERHEAD
        self._at_end.discard(partition)
        self._awaited_since_ms.pop(partition, None)

    def end(self, partition: int) -> None:
        """Hear that a partition has no more for now, so that nobody has to wait for it."""
        self._at_end.add(partition)
        self._awaited_since_ms.pop(partition, None)

    def take(self, now_ms: int) -> list[Any]:
        """Hand over what may go, oldest first."""
        heads = [(_time_ms(held), partition) for partition, held in self._waiting.items() if held]
        heapify(heads)
        taken: list[Any] = []
        while heads and not self._is_held_up(now_ms):
            partition = heads[0][1]
            held = self._waiting[partition]
            taken.append(held.popleft())
            self._size[partition] -= len(taken[-1]) + MESSAGE_OVERHEAD
            if held:
                heapreplace(heads, (_time_ms(held), partition))
                continue
            heappop(heads)
            if partition not in self._at_end:
                self._awaited_since_ms[partition] = now_ms
        return taken

    def _is_held_up(self, now_ms: int) -> bool:
        return any(now_ms - since_ms < self._hold_ms for since_ms in self._awaited_since_ms.values())


def _time_ms(held: deque[Any]) -> int:
    time_ms: int = held[0].timestamp()[1]
    return time_ms
