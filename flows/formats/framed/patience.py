"""This file holds how long a Schema Registry is waited for, and what is done meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

WAIT_S = 60.0
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """
    Say how a registry is waited for that does not answer.

    Args:
        beat: called before each attempt, as a sign of life.
        is_stopped: tells whether waiting is of no use any more.
    """

    beat: Callable[[], None] = lambda: None
    is_stopped: Callable[[], bool] = lambda: False
    wait_s: float = WAIT_S
    pause_s: float = PAUSE_S
