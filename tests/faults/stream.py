"""This file sends a shop's events, in small bursts and without an end, while faults happen."""

import random
import threading
from collections.abc import Iterator

from flows.dev.generator import Message, generate
from tests.integration.outcome import DAY_MS, START_MS, Sender

EVENTS_PER_MONTH = 4_000
USERS = 900
HOT_EVENTS_PER_MONTH = 1_500
HOT_USERS = 100
"""So few that nearly each of them is in every few bursts."""
BURST = 60
PAUSE_S = (0.3, 0.9)


class Stream:
    """A sender on a thread of its own; bursts leave something unwritten most of the time."""

    def __init__(self, sender: Sender, seed: int, is_hot: bool) -> None:
        self._sender = sender
        self._messages = endless_story(seed, is_hot)
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_ending = threading.Event()
        self._gate = threading.Lock()
        self.count = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def pause(self) -> None:
        """Return once nothing is on its way; send nothing until `resume`."""
        self._gate.acquire()

    def resume(self) -> None:
        """Send again."""
        self._gate.release()

    def send_burst(self) -> None:
        """Send one burst, from the thread that holds the gate, and wait until the broker has it."""
        burst = [next(self._messages) for _ in range(self._random.randint(1, BURST))]
        self.count += self._sender.send(burst)

    def abandon(self) -> None:
        """Ask the thread to end, whatever it is at."""
        self._is_ending.set()

    def finish(self) -> int:
        """Send no more; answer how many messages there are."""
        self._is_ending.set()
        self._thread.join()
        return self.count

    def _run(self) -> None:
        while not self._is_ending.wait(self._random.uniform(*PAUSE_S)):
            with self._gate:
                self.send_burst()


def endless_story(seed: int, is_hot: bool) -> Iterator[Message]:
    """Generate one month of a shop behind the other: repeats, disorder, late and rubbish messages included."""
    month = 0
    events, users = (HOT_EVENTS_PER_MONTH, HOT_USERS) if is_hot else (EVENTS_PER_MONTH, USERS)
    while True:
        start_ms = START_MS + month * 30 * DAY_MS
        yield from generate(events, users, seed + month, start_ms, start_ms + 30 * DAY_MS)
        month += 1
