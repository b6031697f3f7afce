"""
This file says who may leave memory, and who may rest there: users who have had no message since the last look.

Who leaves is one about whom nothing can change but by a message. Each look costs a pass over columns; users are moved
only when enough are to pay for it. So of the users in memory three in four, but for LEAVING_MIN, are such with a
deadline ahead or with a message since the look before, and of those at work three in four the latter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.commit_plan import COLD, NOWHERE
from scoring.events import Int64s
from scoring.user_rows import UserRows

LEAVING_MIN = 1_000
_ONE_IN = 4


def quiet(users: UserRows, waiting: Sequence[Int64s]) -> NDArray[np.bool_]:
    """
    Tell of each user that there is nothing to do for him: no message since the last look, nothing to be stored.

    Args:
        waiting: rows of the users with messages that are not scored yet, -1 for nobody.
    """
    here = slice(0, len(users))
    found: NDArray[np.bool_] = (users.state.dirty[here] == 0) & (users.heard[here] < users.look)
    for rows in waiting:
        found[rows[rows >= 0]] = False
    return found


def leaving(users: UserRows, is_quiet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell of each user whether he may be forgotten: he is in the store as he is here, or nobody at all."""
    is_cold: NDArray[np.bool_] = users.committed_home[: len(users)] == COLD
    return is_quiet & (is_cold | ~users.seen)


def resting(users: UserRows, is_quiet: NDArray[np.bool_]) -> Int64s:
    """Answer who may be laid to rest: he is at work, and in the store as he is here."""
    is_stored = users.committed_home[: len(users)] != NOWHERE
    return np.flatnonzero(is_quiet & is_stored & users.at_work)


def is_worth_it(count: int, users: int, at_least: int) -> bool:
    """Tell whether so many are moved that it costs little for each."""
    return count >= max(1, at_least) and count * _ONE_IN >= users
