"""This file holds the kernels that look ahead: when a score first is below, when the next fall is due.

With no event a score can only fall, except that a ratio may move when a bucket leaves. So time is cut at the
instants at which a bucket of a ratio's inputs leaves; between two of them the score does not rise, and the
first whole second below keep_at is found by bracketing. Definitions: docs/policy.md#deadlines.
"""

from scoring.features import next_leave
from scoring.borrowing import borrowing
from scoring.row import AS_OF, BELOW_SINCE, LAST_FALL, NEVER, NONE
from scoring.row import SINCE as ENTERED
from scoring.scores import is_below, ladder_at, slack
from scoring.tables import (
    F_KIND,
    F_OVER,
    F_UNDER,
    L_DELAYED,
    L_DWELL,
    L_GRACE,
    L_RATIO,
    L_SCORE,
    L_STEP_PERIOD,
    P_FEATURE,
    RATIO,
    S_PART,
    S_PART_END,
)

HORIZON_MS = 253_402_300_799_000  # the last second of the year 9999: later falls do not exist
FIRST_STRIDE_S = 3600


@borrowing
def next_ratio_move(tables, ladder, row, t_ms):
    """Answer the first instant after t at which a ratio of the ladder's score may move; NEVER if none."""
    if not tables.ladders[ladder, L_RATIO]:
        return NEVER
    earliest = NEVER
    score = tables.ladders[ladder, L_SCORE]
    for part in range(tables.scores[score, S_PART], tables.scores[score, S_PART_END]):
        f = tables.parts[part, P_FEATURE]
        if tables.features[f, F_KIND] == RATIO:
            for column in (F_OVER, F_UNDER):
                leaves = next_leave(tables, tables.features[f, column], row, t_ms)
                if leaves >= 0:
                    earliest = min(earliest, leaves)
    return earliest


@borrowing
def first_below(tables, ladder, row, row_f, after_ms, until_ms):
    """
    Find the first whole second in (after, until] at which the score is below; NONE if there is none.

    The score must not rise in between. Brackets by growing strides, then narrows by the Illinois form of
    regula falsi with a bisection whenever that is slow (a leaving bucket makes steps).
    """
    low = after_ms // 1000 + 1
    high = until_ms // 1000
    if low > high or not is_below(tables, ladder, row, row_f, high * 1000):
        return NONE
    low_slack = slack(tables, ladder, row, row_f, low * 1000)
    if low_slack < 0.0:
        return low * 1000
    stride = FIRST_STRIDE_S
    high_slack = 0.0
    while low + stride < high:
        high_slack = slack(tables, ladder, row, row_f, (low + stride) * 1000)
        if high_slack < 0.0:
            high = low + stride
            break
        low, low_slack = low + stride, high_slack
        stride *= 4
    if high_slack >= 0.0:
        high_slack = slack(tables, ladder, row, row_f, high * 1000)
    return narrow(tables, ladder, row, row_f, low, low_slack, high, high_slack)


@borrowing
def narrow(tables, ladder, row, row_f, low, low_slack, high, high_slack):
    """Narrow a bracket in whole seconds (slack >= 0 at low, < 0 at high) to the first second below."""
    steps = 0
    low_weight, high_weight = low_slack, high_slack
    while high - low > 1:
        middle = (low + high) // 2
        if (
            steps % 3 != 2
        ):  # Two guesses by the chord, then one bisection: never slower than log2 by more than 3.
            guess = low + int((high - low) * (low_weight / (low_weight - high_weight)))
            middle = min(max(guess, low + 1), high - 1)
        middle_slack = slack(tables, ladder, row, row_f, middle * 1000)
        if middle_slack < 0.0:
            high, high_weight = middle, middle_slack
            low_weight *= 0.5
        else:
            low, low_weight = middle, middle_slack
            high_weight *= 0.5
        steps += 1
    return high * 1000


@borrowing
def fall_due(tables, ladder, row, below_since_ms):
    """Answer when a fall is due that has been below since then; a delayed one on a whole second."""
    if not tables.ladders[ladder, L_DELAYED]:
        return below_since_ms
    at = ladder_at(tables, ladder)
    due = max(
        below_since_ms + tables.ladders[ladder, L_GRACE], row[at + ENTERED] + tables.ladders[ladder, L_DWELL]
    )
    if row[at + LAST_FALL] != NONE:
        due = max(due, row[at + LAST_FALL] + tables.ladders[ladder, L_STEP_PERIOD])
    return -(-due // 1000) * 1000


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
