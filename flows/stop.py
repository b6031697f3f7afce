"""This file turns the signals that end a process into a flag that the source looks at."""

import os
import signal
from types import FrameType

from flows.log import log

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """
    Remember that the process was asked to end.

    Before the flow runs there is nothing to drain, and the first signal ends the process at once. A second
    signal does so at any time; what was in hand is read again by the next owner.
    """

    def __init__(self) -> None:
        self.is_set = False
        self.is_running = False

    def listen(self) -> None:
        """Take the signals over; the engine would end the process in the middle of its work."""
        for one in STOP_SIGNALS:
            signal.signal(one, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self.is_running:
            os._exit(0)  # An exception would be lost where the compiler has called us back.
        if self.is_set:
            log("warn", "worker.aborted", signal=signal.Signals(number).name)
            os._exit(1)
        self.is_set = True
