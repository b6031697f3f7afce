"""This file holds the kernels that move a user: rise at an event, fall at an event or a deadline.

rise  at an event, to the highest rung whose enter_at the score reaches, at once
fall  when the score is below keep_at of the present rung and grace, dwell and step period are over: to the
      highest lower rung whose keep_at it reaches, at most max_steps_down rungs at a time
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.deadlines import advance_below, fall_due, is_kept_until, next_fall
from scoring.features import feature_value
from scoring.headroom import note_headroom
from scoring.lookup import ladder_cell, ladder_count, part_cell, rung_number, score_cell
from scoring.row import AS_OF, BELOW_SINCE, FALLS_AT, LAST_FALL, NEVER, NONE, RUNG, SEQ, STALE
from scoring.row import SINCE as ENTERED
from scoring.scores import curve_points, ladder_at, ladder_score
from scoring.state import (
    C_CHANGES,
    C_DEADLINES,
    C_DIRTY,
    CAUSE_TIME,
    X_AT,
    X_CAUSE,
    X_EVENT,
    X_FALLS_AT,
    X_FROM,
    X_LADDER,
    X_PREVIOUS_SINCE,
    X_ROW,
    X_SEQ,
    X_TO,
)
from scoring.tables import (
    L_DELAYED,
    L_RUNG,
    L_RUNGS,
    L_SCORE,
    L_STEPS,
    P_FEATURE,
    R_ENTER,
    R_KEEP,
    S_PART,
    S_PART_END,
)


@inlined
def mark_dirty(state, r):
    """List a user for the next commit."""
    if not state.dirty[r]:
        state.dirty[r] = 1
        state.dirty_rows[state.counts[C_DIRTY]] = r
        state.counts[C_DIRTY] += 1


@borrowing
def highest_entered(tables, ladder, rung, score):
    """Answer the highest rung above the present one whose enter_at the score reaches, else the present one."""
    first = ladder_cell(tables, ladder, L_RUNG)
    while rung + 1 < ladder_cell(tables, ladder, L_RUNGS) and score >= rung_number(
        tables, first + rung + 1, R_ENTER
    ):
        rung += 1
    return rung


@borrowing
def highest_kept(tables, ladder, rung, score, steps):
    """Answer the highest lower rung whose keep_at the score reaches, at most so many steps down (0: no limit)."""
    first = ladder_cell(tables, ladder, L_RUNG)
    lowest = max(rung - steps, 0) if steps else 0
    target = rung - 1
    while target > lowest and score < rung_number(tables, first + target, R_KEEP):
        target -= 1
    return target


@borrowing
def move(tables, state, changes, r, ladder, target, score, cause, event):
    """Put a user on another rung and record the change; the next fall is exact from here."""
    place = state.place[r]
    row, row_f = state.rows[place], state.rows_f[place]
    at = ladder_at(tables, ladder)
    rung, previous_since = row[at + RUNG], row[at + ENTERED]
    as_of_ms = row[AS_OF]
    row[at + RUNG] = target
    row[at + ENTERED] = as_of_ms
    row[at + LAST_FALL] = NONE if target > rung else as_of_ms
    below = score < rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + target, R_KEEP)
    row[at + BELOW_SINCE] = as_of_ms if below else NONE
    row[at + FALLS_AT] = next_fall(tables, ladder, row, row_f) if target else NEVER
    note_headroom(tables, row, row_f, ladder, score)
    row[STALE] &= ~(np.int64(1) << ladder)
    row[SEQ] += 1
    mark_dirty(state, r)
    if cause == CAUSE_TIME:
        state.counts[C_DEADLINES] += 1
    number = state.counts[C_CHANGES]
    state.counts[C_CHANGES] = number + 1
    fact = changes.facts[number]
    fact[X_ROW], fact[X_LADDER], fact[X_FROM], fact[X_TO] = r, ladder, rung, target
    fact[X_CAUSE], fact[X_EVENT], fact[X_AT] = cause, event, as_of_ms
    fact[X_PREVIOUS_SINCE], fact[X_FALLS_AT], fact[X_SEQ] = previous_since, row[at + FALLS_AT], row[SEQ]
    changes.score[number] = score
    explain_parts(tables, ladder, row, row_f, as_of_ms, changes.values[number], changes.points[number])


@borrowing
def explain_parts(tables, ladder, row, row_f, t_ms, values, points):
    """Write each part's value (NaN when undefined) and points at a time not before the user's own."""
    score = ladder_cell(tables, ladder, L_SCORE)
    start = score_cell(tables, score, S_PART)
    for part in range(start, score_cell(tables, score, S_PART_END)):
        value = feature_value(tables, part_cell(tables, part, P_FEATURE), row, row_f, t_ms)
        values[part - start] = value
        points[part - start] = curve_points(tables, part, value)


@borrowing
def judge(tables, state, changes, r, ladder, cause, event):
    """Look at a ladder after an event: rise at once, or fall if the fall is due; tell whether it moved."""
    place = state.place[r]
    row, row_f = state.rows[place], state.rows_f[place]
    at = ladder_at(tables, ladder)
    rung = row[at + RUNG]
    score = ladder_score(tables, ladder, row, row_f)
    note_headroom(tables, row, row_f, ladder, score)
    target = highest_entered(tables, ladder, rung, score)
    if target == rung and rung > 0:
        if score >= rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP):
            row[at + BELOW_SINCE] = NONE
            return False
        if row[at + BELOW_SINCE] == NONE:
            row[at + BELOW_SINCE] = row[AS_OF]
        if fall_due(tables, ladder, row, row[at + BELOW_SINCE]) <= row[AS_OF]:
            target = highest_kept(tables, ladder, rung, score, ladder_cell(tables, ladder, L_STEPS))
    if target == rung:
        return False
    move(tables, state, changes, r, ladder, target, score, cause, event)
    return True


@inlined
def pass_time(tables, row, row_f, to_ms):
    """Move a user's own time on: ladders that fall late write down since when they are below."""
    if to_ms <= row[AS_OF]:
        return
    for ladder in range(ladder_count(tables)):
        at = ladder_at(tables, ladder)
        if ladder_cell(tables, ladder, L_DELAYED) and row[at + RUNG] > 0:
            if not is_kept_until(tables, ladder, row, to_ms):
                advance_below(tables, ladder, row, row_f, to_ms)
    row[AS_OF] = to_ms


@borrowing
def refine(tables, row, row_f, ladder):
    """Make a ladder's next fall exact."""
    at = ladder_at(tables, ladder)
    row[at + FALLS_AT] = next_fall(tables, ladder, row, row_f) if row[at + RUNG] > 0 else NEVER
    row[STALE] &= ~(np.int64(1) << ladder)


@borrowing
def refine_until(tables, row, row_f, limit_ms):
    """Make every next fall exact that might be due by a limit; answer the earliest of all."""
    earliest = NEVER
    for ladder in range(ladder_count(tables)):
        at = ladder_at(tables, ladder)
        if row[at + FALLS_AT] <= limit_ms and (row[STALE] >> ladder) & 1:
            refine(tables, row, row_f, ladder)
        earliest = min(earliest, row[at + FALLS_AT])
    return earliest


@borrowing
def fire_due(tables, state, changes, r, limit_ms, cause):
    """Work off a user's deadlines up to a limit, in the order of time, ladders in policy order."""
    place = state.place[r]
    row, row_f = state.rows[place], state.rows_f[place]
    due = refine_until(tables, row, row_f, limit_ms)
    while due <= limit_ms:
        pass_time(tables, row, row_f, due)
        for ladder in range(ladder_count(tables)):
            at = ladder_at(tables, ladder)
            if row[at + FALLS_AT] == due and not (row[STALE] >> ladder) & 1:
                score = ladder_score(tables, ladder, row, row_f)
                target = highest_kept(
                    tables, ladder, row[at + RUNG], score, ladder_cell(tables, ladder, L_STEPS)
                )
                move(tables, state, changes, r, ladder, target, score, cause, -1)
        due = refine_until(tables, row, row_f, limit_ms)
    state.due[r] = due
