"""This file tells how long entries of the outboxes have waited for the broker."""

from collections import deque

from sinks.outbox import id_order


class OutboxAge:
    """Remember when entries became durable, by commit; those an earlier owner left count from when we found them."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[tuple[tuple[int, int], int]]] = {}

    def add(self, partition: int, last_id: str, now_ms: int) -> None:
        """Note entries of a shard up to this one."""
        self._waiting.setdefault(partition, deque()).append((id_order(last_id), now_ms))

    def forget(self, partition: int) -> None:
        """Drop a shard that is not ours any more."""
        self._waiting.pop(partition, None)

    def oldest_ms(self, partition: int, delivered_to: str | None, now_ms: int) -> int:
        """Answer the age of the oldest entry behind the one up to which all are confirmed; 0 without one."""
        waiting = self._waiting.get(partition, deque())
        if delivered_to is not None:
            confirmed = id_order(delivered_to)
            while waiting and waiting[0][0] <= confirmed:
                waiting.popleft()
        return now_ms - waiting[0][1] if waiting else 0
