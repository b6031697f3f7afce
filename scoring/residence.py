"""
This file says who may leave memory: users about whom nothing can change but by a message, and who have none.

Each look costs a pass over columns; users are moved only when enough leave to pay for it. So of the rows in memory
three in four, but for LEAVING_MIN, are those of users with a deadline ahead or with a message since the look before.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.commit_plan import COLD
from scoring.events import Int64s
from scoring.row import FIRST_SEEN, NONE
from scoring.user_rows import UserRows

LEAVING_MIN = 1_000
_ONE_IN = 4


def leaving(users: UserRows, waiting: Sequence[Int64s]) -> NDArray[np.bool_]:
    """
    Answer for each row whether its user may be forgotten: he is in the store as he is here, or nobody at all.

    Args:
        waiting: rows of the users with messages that are not scored yet, -1 for nobody.
    """
    here = slice(0, len(users))
    is_nobody = users.state.rows[here, FIRST_SEEN] == NONE
    gone: NDArray[np.bool_] = (users.committed_home[here] == COLD) | is_nobody
    gone &= (users.state.dirty[here] == 0) & (users.heard[here] < users.look)
    for rows in waiting:
        gone[rows[rows >= 0]] = False
    return gone


def is_worth_it(count: int, users: int) -> bool:
    """Tell whether so many leave that moving the others costs little for each."""
    return count * _ONE_IN >= users
