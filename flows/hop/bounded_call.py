"""Calls into librdkafka that may never come back. This file waits for them, but not for ever."""

from collections.abc import Callable
from threading import Thread

STUCK_S = 10.0


class Stuck(Exception):
    """Say that a call did not come back; what it belongs to must not be used any more."""


def bounded(call: Callable[[], object], limit_s: float = STUCK_S) -> None:
    """
    Make a call and wait for it; raises what it raises, and Stuck when it takes longer than the limit.

    send_offsets_to_transaction() does not keep to its timeout while the group's coordinator is away, and may
    miss that it is back (librdkafka issue 5456). As the main thread's own call it would keep signals from
    being heard, too. A stuck call is left behind in a thread that dies with the process.
    """
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if not raised:
        raise Stuck(f"librdkafka did not come back for {limit_s:.0f} s")
    if raised[0] is not None:
        raise raised[0]
