"""This file holds the kernels of a ladder that an event leaves where it is: when nobody need look, what stays true."""

import numpy as np

from scoring.borrowing import inlined
from scoring.deadlines import is_kept_until
from scoring.headroom import has_headroom
from scoring.lookup import ladder_cell, limit
from scoring.row import AS_OF, BELOW_SINCE, FALLS_AT, NEVER, NEWEST, NONE, RUNG, STALE
from scoring.scores import ladder_at
from scoring.tables import L_FEATURES, L_RATIO, L_RUNGS, M_RATIO_STEP


@inlined
def ratios_rest(tables, row, event_time_ms):
    """
    Tell that no bucket has left the inputs of a ratio since an event last looked at the ladders.

    To be asked before the user's time moves on. When a deadline moved it last, nobody looked for a rise then.
    """
    step_ms = limit(tables, M_RATIO_STEP)
    if not step_ms:
        return True
    as_of_ms = row[AS_OF]
    return row[NEWEST] == as_of_ms and as_of_ms // step_ms == max(as_of_ms, event_time_ms) // step_ms


@inlined
def stands(tables, row, row_f, ladder, touched, lowered, ratios_rested, type_number, amount_minor):
    """
    Tell that an event leaves a ladder where it is, without a look at the score.

    A score that no event touched has not risen, unless a bucket left a ratio; one that was touched has not risen far
    enough while there is headroom. It is kept when the next fall, or a lower bound of it, is far enough, also when the
    event can only have raised it.
    """
    at, seen = ladder_at(tables, ladder), ladder_cell(tables, ladder, L_FEATURES)
    rung = row[at + RUNG]
    if lowered & seen:
        return False
    if ladder_cell(tables, ladder, L_RATIO) and (touched & seen or not ratios_rested):
        return False
    if touched & seen and rung + 1 < ladder_cell(tables, ladder, L_RUNGS):
        if not has_headroom(tables, row, row_f, ladder, type_number, amount_minor):
            return False
    return rung == 0 or is_kept_until(tables, ladder, row, row[AS_OF])


@inlined
def settle(tables, row, ladder, touched, lowered):
    """
    Keep a ladder's next fall true after an event that did not move it: exact, or a lower bound to be refined.

    An event that only adds can only put the fall off, so the old time stays a lower bound.
    """
    at = ladder_at(tables, ladder)
    if row[at + RUNG] == 0:
        row[at + FALLS_AT] = NEVER
        row[STALE] &= ~(np.int64(1) << ladder)
        return
    seen = ladder_cell(tables, ladder, L_FEATURES)
    if (
        row[at + BELOW_SINCE] != NONE
        or (lowered & seen)
        or (ladder_cell(tables, ladder, L_RATIO) and touched & seen)
    ):
        row[at + FALLS_AT] = row[AS_OF]
        row[STALE] |= np.int64(1) << ladder
    elif touched & seen:
        row[STALE] |= np.int64(1) << ladder
