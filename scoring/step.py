"""This file holds the pass over a shard's messages: the only place that orders the kernels."""

import numba
import numpy as np

from scoring.bits import trailing_zeros
from scoring.borrowing import borrowing_kernel, inlined
from scoring.event_ids import fetch_ids, remember_id, remembers_id
from scoring.features import note_event
from scoring.kernel_types import CHANGES, EVENTS, INT, STATE, TABLES
from scoring.ladders import (
    explain_parts,
    fire_due,
    judge,
    mark_dirty,
    pass_time,
    refine,
)
from scoring.lookup import ladder_count, limit, type_cell
from scoring.memory import find_order
from scoring.orders import place_order, undo_order
from scoring.prefetch import prefetch
from scoring.row import (
    AS_OF,
    FALLS_AT,
    FIRST_SEEN,
    LINE_WORDS,
    NEVER,
    NEWEST,
    NONE,
    OFFSETS,
    STALE,
)
from scoring.row import SINCE as ENTERED
from scoring.scores import ladder_at, ladder_score
from scoring.state import (
    C_CHANGES,
    CAUSE_EVENT,
    CAUSE_REFUND,
    CAUSE_TIME,
)
from scoring.tables import (
    M_CHANGES,
    M_FIRSTS,
    M_LATENESS,
    M_ORDER_MEMORY,
    M_POOL,
    T_LINES,
    T_ORDER,
    T_REFUND,
    T_UNTIL,
)
from scoring.unmoved import ratios_rest, settle, stands

# What became of a message; 1 to 8 are the dead-letter reasons of scoring/events.py.
APPLIED, TOO_LATE, UNKNOWN_ORDER, DUPLICATE, IGNORED, REPLAYED = 0, 7, 8, 20, 21, 22
NO_ORDER = -1

AHEAD = 16  # So many users before a kernel comes to one, his row is fetched; half as many before, his ids.


@inlined
def has_room(tables, state, changes):
    """Tell whether the next user fits: his changes into the record, his blocks into the pool."""
    room = changes.facts.shape[0] - state.counts[C_CHANGES]
    return room >= limit(tables, M_CHANGES) and state.pool.shape[0] - state.heap[0] >= limit(tables, M_POOL)


@inlined
def begin(tables, row, event_time_ms):
    """Put a new user on rung 0 of every ladder from his first event."""
    row[FIRST_SEEN] = event_time_ms
    row[AS_OF] = event_time_ms
    row[NEWEST] = event_time_ms
    for ladder in range(ladder_count(tables)):
        row[ladder_at(tables, ladder) + ENTERED] = event_time_ms


@inlined
def fate_of(tables, state, events, i, row):
    """Decide what becomes of a decoded message of a known type, in the contract's order."""
    event_time_ms, type_number = events.event_time_ms[i], events.type[i]
    if row[FIRST_SEEN] != NONE:
        if event_time_ms < row[NEWEST] - limit(tables, M_LATENESS):
            return TOO_LATE
        if remembers_id(state, row, tables, events.event_id_hash[i]):
            return DUPLICATE
    is_order, is_refund = type_cell(tables, type_number, T_ORDER), type_cell(tables, type_number, T_REFUND)
    if not (is_order or is_refund):
        return APPLIED
    known = NO_ORDER
    if row[FIRST_SEEN] != NONE:
        memory_ms = limit(tables, M_ORDER_MEMORY)
        known = find_order(state, row, memory_ms, events.order_id_hash[i], event_time_ms)
    if is_order:
        return DUPLICATE if known != NO_ORDER else APPLIED
    return UNKNOWN_ORDER if known == NO_ORDER else APPLIED


@inlined
def apply_event(tables, state, changes, events, i, r):
    """Apply one message to its user: features, then every ladder in policy order."""
    place = state.place[r]
    row, row_f = state.rows[place], state.rows_f[place]
    event_time_ms, type_number = events.event_time_ms[i], events.type[i]
    is_new = row[FIRST_SEEN] == NONE
    if is_new:
        begin(tables, row, event_time_ms)
    ratios_rested = ratios_rest(tables, row, event_time_ms)
    pass_time(tables, row, row_f, event_time_ms)
    remember_id(state, row, tables, events.event_id_hash[i], event_time_ms)
    row[NEWEST] = max(row[NEWEST], event_time_ms)
    is_order, is_refund = type_cell(tables, type_number, T_ORDER), type_cell(tables, type_number, T_REFUND)
    amount_minor, undone, cause = events.amount_minor[i], np.int64(0), CAUSE_EVENT
    if is_refund:
        amount_minor, undone = undo_order(tables, state, events, i, row, row_f)
        cause = CAUSE_REFUND
    if is_order:
        place_order(tables, state, events, i, row)
    added = note_event(
        tables,
        row,
        row_f,
        row[AS_OF],
        event_time_ms,
        type_number,
        events.match[i],
        amount_minor,
        not is_order,
    )
    # What can lower a score: a refund, an `until`, an older first event.
    lowered = undone | (added & (type_cell(tables, type_number, T_UNTIL) | limit(tables, M_FIRSTS)))
    touched = undone | added
    due = NEVER
    for ladder in range(ladder_count(tables)):
        # Nobody has looked at a new user's scores yet: a curve may give points for nothing.
        unmoved = not is_new and stands(
            tables, row, row_f, ladder, touched, lowered, ratios_rested, type_number, amount_minor
        )
        if unmoved or not judge(tables, state, changes, r, ladder, cause, i):
            settle(tables, row, ladder, touched, lowered)
        due = min(due, row[ladder_at(tables, ladder) + FALLS_AT])
    state.due[r] = due


@inlined
def fetch_row(state, r):
    """Have a user's row brought near."""
    width = state.rows.shape[1]
    first = state.place[r] * width
    for word in range(0, width, LINE_WORDS):
        prefetch(state.rows, first + word)
    prefetch(state.due, r)
    prefetch(state.dirty, r)


@inlined
def fetch_lines(tables, state, r, type_number):
    """Have those lines of a user's row brought near that an event of a type looks at."""
    first, lines = state.place[r] * state.rows.shape[1], type_cell(tables, type_number, T_LINES)
    while lines:
        prefetch(state.rows, first + LINE_WORDS * trailing_zeros(lines))
        lines &= lines - 1
    prefetch(state.due, r)
    prefetch(state.dirty, r)


@inlined
def fetch_ahead(tables, state, events, position):
    """Have brought near what the messages to come will look at: rows first, then what these point to."""
    if position + 2 * AHEAD < events.order.shape[0]:
        r = events.row[events.order[position + 2 * AHEAD]]
        if r >= 0:
            prefetch(state.place, r)
    if position + AHEAD < events.order.shape[0]:
        i = events.order[position + AHEAD]
        if events.row[i] >= 0:
            fetch_lines(tables, state, events.row[i], events.type[i])
    if position + AHEAD // 2 < events.order.shape[0]:
        r = events.row[events.order[position + AHEAD // 2]]
        if r >= 0:
            fetch_ids(state.pool, state.rows[state.place[r]])


@borrowing_kernel(INT(TABLES, STATE, CHANGES, EVENTS, INT))
def score_events(tables, state, changes, events, start):
    """
    Apply messages in their order, from position `start`; answer the position it stopped at.

    It stops early when the record of changes or the pool may be too small for the next message: the caller
    makes room and calls again. `events.fate` is 0 for a decoded message and becomes what was decided.
    """
    for position in range(start, events.order.shape[0]):
        i = events.order[position]
        fetch_ahead(tables, state, events, position)
        if events.fate[i] != APPLIED:
            continue
        if events.type[i] < 0:
            events.fate[i] = IGNORED
            continue
        if not has_room(tables, state, changes):
            return position
        r = events.row[i]
        row = state.rows[state.place[r]]
        if events.offset[i] <= row[OFFSETS + events.topic[i]]:
            events.fate[i] = REPLAYED
            continue
        row[OFFSETS + events.topic[i]] = events.offset[i]
        fate = fate_of(tables, state, events, i, row)
        events.fate[i] = fate
        if row[FIRST_SEEN] != NONE or fate == APPLIED:
            mark_dirty(state, r)
        if fate != APPLIED:
            continue
        limit_ms = max(events.watermark_ms[position], events.event_time_ms[i])
        if state.due[r] <= limit_ms:
            fire_due(tables, state, changes, r, limit_ms, CAUSE_TIME)
        apply_event(tables, state, changes, events, i, r)
    return events.order.shape[0]


@borrowing_kernel(INT(TABLES, STATE, CHANGES, INT[::1], INT, INT, INT))
def fire_deadlines(tables, state, changes, rows, start, limit_ms, cause):
    """Work off the deadlines of these users up to a watermark, from place `start`; answer the place it stopped at."""
    for n in range(start, rows.shape[0]):
        if n + AHEAD < rows.shape[0]:
            fetch_row(state, rows[n + AHEAD])
        if not has_room(tables, state, changes):
            return n
        fire_due(tables, state, changes, rows[n], limit_ms, cause)
    return rows.shape[0]


@borrowing_kernel(numba.types.void(TABLES, STATE, INT[::1], numba.types.float64[:, ::1]))
def describe(tables, state, rows, scores):
    """
    Make every next fall of some users exact and evaluate their scores at their own time.

    Args:
        rows: int64 (n,), the users.
        scores: float64 (n, ladders), written.
    """
    for n in range(rows.shape[0]):
        if n + AHEAD < rows.shape[0]:
            fetch_row(state, rows[n + AHEAD])
        r = rows[n]
        place = state.place[r]
        row, row_f = state.rows[place], state.rows_f[place]
        due = NEVER
        for ladder in range(ladder_count(tables)):
            if (row[STALE] >> ladder) & 1:
                refine(tables, row, row_f, ladder)
            due = min(due, row[ladder_at(tables, ladder) + FALLS_AT])
            scores[n, ladder] = ladder_score(tables, ladder, row, row_f)
        state.due[r] = due


FLOATS = numba.types.float64[::1]


@borrowing_kernel(numba.types.void(TABLES, STATE, INT, INT, INT, FLOATS, FLOATS))
def explain(tables, state, r, ladder, t_ms, values, points):
    """Write the value and the points of each part of a ladder's score for one user, at a time not before his own."""
    place = state.place[r]
    explain_parts(tables, ladder, state.rows[place], state.rows_f[place], t_ms, values, points)
