"""The threads that wait for an endpoint's answers. This file gives them deliveries, and takes what came of each."""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from flows.webhooks.lanes import Delivery
from flows.webhooks.request import Answer, Poster

Result = tuple[Delivery, Answer]


class Senders:
    """
    Run some threads for one endpoint; everything here is called by one thread, that of its courier.

    Args:
        on_attempt: told how long each attempt took, in seconds; called on the thread that made it.
    """

    def __init__(
        self, poster: Poster, count: int, name: str, on_attempt: Callable[[float], None] = lambda _: None
    ) -> None:
        self._poster = poster
        self._count = count
        self._on_attempt = on_attempt
        self._due: SimpleQueue[Delivery | None] = SimpleQueue()
        self._done: SimpleQueue[Result] = SimpleQueue()
        self.in_flight = 0
        for number in range(count):
            # Daemons: a look-up of a name cannot be ended, and must not keep the process from ending.
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    @property
    def has_room(self) -> bool:
        """Tell whether some thread has nothing to do."""
        return self.in_flight < self._count

    def send(self, delivery: Delivery) -> None:
        """Make one attempt, on a thread that has nothing to do."""
        self.in_flight += 1
        self._due.put(delivery)

    def results(self, wait_s: float) -> list[Result]:
        """Take what is done; wait for the first one if something is on its way."""
        taken: list[Result] = []
        while self.in_flight:
            try:
                taken.append(self._done.get(timeout=0 if taken else wait_s))
            except Empty:
                break
            self.in_flight -= 1
        return taken

    def end(self) -> None:
        """Let the threads end after what they are at."""
        for _ in range(self._count):
            self._due.put(None)

    def _run(self) -> None:
        while (delivery := self._due.get()) is not None:
            change, begun_s = delivery.change, time.monotonic()
            try:
                answer = self._poster.post(change.id, change.body)
            except Exception as error:  # Whatever it is, the delivery must not be forgotten.
                answer = Answer(failure="protocol", detail=f"{type(error).__name__}: {error}")
            self._on_attempt(time.monotonic() - begun_s)
            self._done.put((delivery, answer))
