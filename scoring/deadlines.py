"""This file holds the kernels that look ahead: when a score first is below, when the next fall is due.

With no event a score can only fall, except that a ratio may move when a bucket leaves. So time is cut at the
instants at which a bucket of a ratio's inputs leaves; between two of them the score does not rise. The first whole
second below keep_at then follows from the inverse of the curve, for one part or the highest of several; for a sum it is
searched (crossing.py). Definitions: docs/policy.md#deadlines.
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.crossing import first_below_of_sum
from scoring.features import next_leave
from scoring.lookup import (
    feature_cell,
    feature_number,
    ladder_cell,
    part_cell,
    rung_number,
    score_cell,
)
from scoring.row import (
    AS_OF,
    BELOW_SINCE,
    DECAYED_AT,
    DECAYED_VALUE,
    FALLS_AT,
    LAST_FALL,
    NEVER,
    NONE,
    RUNG,
    SINCE_NOW,
)
from scoring.row import SINCE as ENTERED
from scoring.scores import curve_inverse, is_below, ladder_at, part_points, slack
from scoring.tables import (
    DECAYED,
    F_AT,
    F_HALF_LIFE,
    F_KIND,
    F_OVER,
    F_UNDER,
    F_UNIT,
    L_DELAYED,
    L_DWELL,
    L_GRACE,
    L_RATIO,
    L_RUNG,
    L_SCORE,
    L_STEP_PERIOD,
    P_FEATURE,
    R_KEEP,
    RATIO,
    S_MAX,
    S_PART,
    S_PART_END,
    SINCE,
)

HORIZON_MS = 253_402_300_799_000  # the last second of the year 9999: later falls do not exist


@borrowing
def next_ratio_move(tables, ladder, row, t_ms):
    """Answer the first instant after t at which a ratio of the ladder's score may move; NEVER if none."""
    if not ladder_cell(tables, ladder, L_RATIO):
        return NEVER
    earliest = NEVER
    score = ladder_cell(tables, ladder, L_SCORE)
    for part in range(score_cell(tables, score, S_PART), score_cell(tables, score, S_PART_END)):
        f = part_cell(tables, part, P_FEATURE)
        if feature_cell(tables, f, F_KIND) == RATIO:
            for column in (F_OVER, F_UNDER):
                leaves = next_leave(tables, feature_cell(tables, f, column), row, t_ms)
                if leaves >= 0:
                    earliest = min(earliest, leaves)
    return earliest


@borrowing
def part_lasts(tables, part, row, row_f, t_ms, threshold, until_ms):
    """
    Estimate how long a part alone gives at least so many points; at most until_ms, t_ms when it does not.

    since and decayed by the inverse of their curve, windows and active days from one leaving to the next.
    """
    f = part_cell(tables, part, P_FEATURE)
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    if part_points(tables, part, row, row_f, t_ms) < threshold:
        return t_ms
    if part_points(tables, part, row, row_f, until_ms) >= threshold:
        return until_ms
    if kind == SINCE:
        return row[at + SINCE_NOW] + int(curve_inverse(tables, part, threshold) * 1000.0)
    if kind == DECAYED:
        value = row_f[at + DECAYED_VALUE] * feature_number(tables, f, F_UNIT)
        half_lives = np.log2(value / curve_inverse(tables, part, threshold))
        return row[at + DECAYED_AT] + int(feature_number(tables, f, F_HALF_LIFE) * half_lives)
    while part_points(tables, part, row, row_f, t_ms) >= threshold:
        t_ms = next_leave(tables, f, row, t_ms)
    return t_ms


@borrowing
def first_below_by_parts(tables, ladder, row, row_f, low, high, threshold):
    """Find the first second below of a score that is one part, or the highest of several; whole seconds."""
    score = ladder_cell(tables, ladder, L_SCORE)
    lasts_ms = low * 1000
    for part in range(score_cell(tables, score, S_PART), score_cell(tables, score, S_PART_END)):
        lasts_ms = max(lasts_ms, part_lasts(tables, part, row, row_f, low * 1000, threshold, high * 1000))
    guess = min(max(lasts_ms // 1000, low + 1), high)
    # The estimate is good to rounding; the score itself decides.
    while guess < high and not is_below(tables, ladder, row, row_f, guess * 1000):
        guess += 1
    while guess - 1 > low and is_below(tables, ladder, row, row_f, (guess - 1) * 1000):
        guess -= 1
    return guess * 1000


@borrowing
def first_below(tables, ladder, row, row_f, after_ms, until_ms):
    """
    Find the first whole second in (after, until] at which the score is below; NONE if there is none.

    The score must not rise in between.
    """
    low = after_ms // 1000 + 1
    high = until_ms // 1000
    if low > high:
        return NONE
    end_slack = slack(tables, ladder, row, row_f, high * 1000)
    if end_slack >= 0.0:
        return NONE
    score = ladder_cell(tables, ladder, L_SCORE)
    parts = score_cell(tables, score, S_PART_END) - score_cell(tables, score, S_PART)
    if parts > 1 and not score_cell(tables, score, S_MAX):
        return first_below_of_sum(tables, ladder, row, row_f, low, high, end_slack)
    if is_below(tables, ladder, row, row_f, low * 1000):
        return low * 1000
    rung = row[ladder_at(tables, ladder) + RUNG]
    threshold = rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP)
    return first_below_by_parts(tables, ladder, row, row_f, low, high, threshold)


@inlined
def fall_due(tables, ladder, row, below_since_ms):
    """Answer when a fall is due that has been below since then; a delayed one on a whole second."""
    if not ladder_cell(tables, ladder, L_DELAYED):
        return below_since_ms
    at = ladder_at(tables, ladder)
    due = max(
        below_since_ms + ladder_cell(tables, ladder, L_GRACE),
        row[at + ENTERED] + ladder_cell(tables, ladder, L_DWELL),
    )
    if row[at + LAST_FALL] != NONE:
        due = max(due, row[at + LAST_FALL] + ladder_cell(tables, ladder, L_STEP_PERIOD))
    return -(-due // 1000) * 1000


@inlined
def is_kept_until(tables, ladder, row, t_ms):
    """
    Tell, without a look at the score, that it has not been below and will not be at a time, if no event comes.

    Had it been, the fall would be due by then, and the next one, or a lower bound of it, is known. Not so where a
    ratio that rises may call a delayed fall off.
    """
    if ladder_cell(tables, ladder, L_RATIO) and ladder_cell(tables, ladder, L_DELAYED):
        return False
    # One second more: a score that is below at some millisecond is so at the next whole second.
    return row[ladder_at(tables, ladder) + FALLS_AT] > fall_due(tables, ladder, row, t_ms + 1000)


@borrowing
def next_fall(tables, ladder, row, row_f):
    """Answer when the present rung is lost if no event comes; NEVER if it is kept."""
    t_ms = row[AS_OF]
    below_since_ms = row[ladder_at(tables, ladder) + BELOW_SINCE]
    while t_ms <= HORIZON_MS:
        move_ms = next_ratio_move(tables, ladder, row, t_ms)
        until_ms = min(move_ms - 1, HORIZON_MS)
        if below_since_ms == NONE:
            below_since_ms = first_below(tables, ladder, row, row_f, t_ms, until_ms)
        if below_since_ms != NONE:
            due = fall_due(tables, ladder, row, below_since_ms)
            if due <= until_ms:
                return due
        if move_ms == NEVER:
            return NEVER
        t_ms = move_ms
        below_since_ms = below_at(tables, ladder, row, row_f, t_ms, below_since_ms)
    return NEVER


@borrowing
def below_at(tables, ladder, row, row_f, t_ms, below_since_ms):
    """Carry `below_since` over an instant: cleared when the score reaches keep_at, else kept or begun."""
    if not is_below(tables, ladder, row, row_f, t_ms):
        return NONE
    return t_ms if below_since_ms == NONE else below_since_ms


@borrowing
def advance_below(tables, ladder, row, row_f, to_ms):
    """Write down since when the score has been below, as time passes to `to` with no event."""
    at = ladder_at(tables, ladder)
    t_ms = row[AS_OF]
    below_since_ms = row[at + BELOW_SINCE]
    while True:
        move_ms = next_ratio_move(tables, ladder, row, t_ms)
        if below_since_ms == NONE:
            below_since_ms = first_below(tables, ladder, row, row_f, t_ms, min(move_ms - 1, to_ms))
        if move_ms > to_ms:
            break
        t_ms = move_ms
        below_since_ms = below_at(tables, ladder, row, row_f, t_ms, below_since_ms)
    row[at + BELOW_SINCE] = below_since_ms
