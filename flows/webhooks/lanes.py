"""Changes that wait for their delivery. This file keeps each user's in order, and knows which may go when."""

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count

from flows.webhooks.change import Change


@dataclass(slots=True, eq=False)
class Delivery:
    """
    Hold a change and how far its delivery is. Times are Unix milliseconds.

    Attributes:
        planned_ms: when the plan wants the next attempt.
        attempts: made so far, by the plan.
        first_try_ms: when the first one was, infinite before it.
        why: what the last attempt failed of.
        is_refused: it failed, then others succeeded, and it failed again: the endpoint does not want it.
        is_void: it is somebody else's by now, whatever comes of it here.
    """

    change: Change
    planned_ms: float
    attempts: int = 0
    first_try_ms: float = math.inf
    why: str = ""
    is_refused: bool = False
    is_void: bool = False


class Lanes:
    """
    Hold deliveries that are not settled, a lane for each user.

    Only the first of a lane may be tried; what is behind waits until it is settled, so that an endpoint
    sees each user's changes in order. Lanes do not wait for each other.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Delivery]] = {}
        self._ready: list[tuple[float, int, Delivery]] = []
        self._number = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, delivery: Delivery) -> None:
        """Put a delivery at the end of its user's lane."""
        lane = self._lanes.setdefault(delivery.change.user_id, deque())
        lane.append(delivery)
        self._size += 1
        if len(lane) == 1:
            self.put_back(delivery)

    def take(self, now_ms: float) -> Delivery | None:
        """Take the first of a lane that is due, the one due longest; it stays first until it is settled."""
        while self._ready and self._ready[0][0] <= now_ms:
            delivery = heapq.heappop(self._ready)[2]
            if not delivery.is_void:
                return delivery
        return None

    def next_ms(self) -> float:
        """Answer when something is due, infinite when nothing waits."""
        return self._ready[0][0] if self._ready else math.inf

    def put_back(self, delivery: Delivery) -> None:
        """Let a delivery that was taken be tried again when the plan wants it."""
        if not delivery.is_void:
            heapq.heappush(self._ready, (delivery.planned_ms, next(self._number), delivery))

    def settle(self, delivery: Delivery) -> None:
        """Remove the first of a lane, which was taken; the one behind it is next."""
        user_id = delivery.change.user_id
        lane = self._lanes[user_id]
        assert lane[0] is delivery, delivery
        lane.popleft()
        self._size -= 1
        if lane:
            self.put_back(lane[0])
        else:
            del self._lanes[user_id]

    def hurry(self, now_ms: float) -> None:
        """Let all that wait for another attempt go now, in the order in which they were to go."""
        waiting = sorted(self._waiting(), key=lambda delivery: delivery.planned_ms)
        self._ready = [(now_ms, next(self._number), delivery) for delivery in waiting]

    def held_up(self) -> int:
        """Count what waits for another attempt, and what waits behind that."""
        return sum(len(lane) for lane in self._lanes.values() if lane[0].attempts)

    def take_refused(self) -> Delivery | None:
        """Take the one that the endpoint has refused for longest while it took others."""
        refused = [one for one in self._waiting() if one.is_refused]
        if not refused:
            return None
        chosen = min(refused, key=lambda delivery: delivery.first_try_ms)
        self._ready = [one for one in self._ready if one[2] is not chosen]
        heapq.heapify(self._ready)
        return chosen

    def drop(self, partitions: Collection[int]) -> None:
        """Forget what came from these partitions."""
        lanes, self._lanes, self._size = self._lanes, {}, 0
        for user_id, lane in lanes.items():
            for delivery in lane:
                delivery.is_void = delivery.change.partition in partitions
            kept = deque(delivery for delivery in lane if not delivery.is_void)
            if kept:
                self._lanes[user_id] = kept
                self._size += len(kept)

    def oldest_stored_ms(self) -> int | None:
        """Answer when the oldest waiting change was written to Kafka; None when nothing waits."""
        return min((lane[0].change.stored_ms for lane in self._lanes.values()), default=None)

    def _waiting(self) -> Iterator[Delivery]:
        return (one[2] for one in self._ready if not one[2].is_void)
