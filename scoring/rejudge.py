"""This file holds the kernels of a policy change: what is forgotten before it, and where it puts a user."""

import numba

from scoring.features import keep_order
from scoring.jit import kernel
from scoring.kernel_types import CHANGES, INT, STATE, TABLES
from scoring.ladders import highest_entered, highest_kept, mark_dirty, move, refine
from scoring.lookup import ladder_cell, ladder_count, limit, rung_number
from scoring.memory import copy_words
from scoring.row import (
    BELOW_SINCE,
    FALLS_AT,
    NEVER,
    NEWEST,
    NONE,
    ORDER_GONE,
    ORDER_MATCH,
    ORDER_TIME,
    ORDER_TYPE,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_COUNT,
    RUNG,
)
from scoring.scores import ladder_at, ladder_score
from scoring.state import C_CHANGES, CAUSE_POLICY, X_FROM
from scoring.tables import L_RUNG, M_LATENESS, M_ORDER_MEMORY, R_KEEP


@kernel(numba.types.void(TABLES, STATE, INT))
def forget_unreachable(tables, state, r):
    """
    Forget the orders that no refund could reach any more, keeping what they gave.

    They leave otherwise only when the next order comes: a policy with a longer memory must not find some.
    """
    row = state.rows[state.place[r]]
    oldest_ms = row[NEWEST] - limit(tables, M_LATENESS) - limit(tables, M_ORDER_MEMORY)
    first, kept = row[ORDERS_AT], 0
    for entry in range(row[ORDERS_COUNT]):
        order = first + ORDER_WORDS * entry
        t_ms, kind = state.pool[order + ORDER_TIME], state.pool[order + ORDER_TYPE]
        if t_ms >= oldest_ms:
            copy_words(state.pool, first + ORDER_WORDS * kept, state.pool, order, ORDER_WORDS)
            kept += 1
        elif kind != ORDER_GONE:
            keep_order(tables, row, t_ms, kind, state.pool[order + ORDER_MATCH])
    row[ORDERS_COUNT] = kept


@kernel(numba.types.void(TABLES, STATE, CHANGES, INT, INT[::1]))
def rejudge(tables, state, changes, r, left):
    """
    Put a user where a new policy has him at his own time: no grace, dwell or step limit.

    Args:
        left: int64 (ladders,), the rank that the rung he leaves had in the former policy, where the new one
            has no rung of its name: the user stands on rung 0 then, and has moved in any case. Else -1.
    """
    place = state.place[r]
    row, row_f = state.rows[place], state.rows_f[place]
    due = NEVER
    for ladder in range(ladder_count(tables)):
        at = ladder_at(tables, ladder)
        rung = row[at + RUNG]
        score = ladder_score(tables, ladder, row, row_f)
        target = highest_entered(tables, ladder, rung, score)
        if target == rung and score < rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP):
            target = highest_kept(tables, ladder, rung, score, 0)
        if left[ladder] >= 0:
            # Only down from the rung he leaves is a fall, which is what the step period counts from.
            row[at + RUNG] = left[ladder] if target < left[ladder] else target - 1
            move(tables, state, changes, r, ladder, target, score, CAUSE_POLICY, -1)
            changes.facts[state.counts[C_CHANGES] - 1, X_FROM] = 0  # The caller knows its name.
        elif target != rung:
            move(tables, state, changes, r, ladder, target, score, CAUSE_POLICY, -1)
        else:
            row[at + BELOW_SINCE] = NONE
            refine(tables, row, row_f, ladder)
        due = min(due, row[at + FALLS_AT])
    state.due[r] = due
    mark_dirty(state, r)
