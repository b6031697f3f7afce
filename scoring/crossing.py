"""
This file holds the kernels that find the first second at which a sum of parts is below a threshold, if no event comes.

Such a score falls smoothly as features decay and ages grow, and by steps as buckets and days leave. The steps are
searched by halves, so that none is left within the bracket; what is left is smooth but for the bends of curves, and is
narrowed by Newton's method.
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.buckets import bucket_end, bucket_of, day_of, day_start
from scoring.features import days_alive, feature_value
from scoring.lookup import (
    feature_cell,
    feature_number,
    ladder_cell,
    part_cell,
    point_number,
    rung_number,
    score_cell,
)
from scoring.row import (
    DAYS_ANCHOR,
    DECAYED_AT,
    DECAYED_VALUE,
    FALLS_AT,
    NONE,
    RUNG,
    SINCE_NOW,
    WINDOW_NEWEST,
    WINDOW_RING,
    WINDOW_SUM,
    WINDOW_TAIL,
)
from scoring.scores import curve_points, ladder_at
from scoring.tables import (
    ACTIVE_DAYS,
    DECAYED,
    F_AT,
    F_DAYS,
    F_HALF_LIFE,
    F_KIND,
    F_RING,
    F_SPAN,
    F_UNIT,
    L_RUNG,
    L_SCORE,
    P_FEATURE,
    P_POINT,
    P_POINT_END,
    R_KEEP,
    S_PART,
    S_PART_END,
    SINCE,
    WINDOW,
)

LN_2 = 0.6931471805599453
SLOW_STEPS_MAX = (
    3  # So many that halve neither the bracket nor the step before; then the bracket is cut in the middle.
)


@borrowing
def first_below_of_sum(tables, ladder, row, row_f, low, high, end_slack):
    """
    Find the first second below, from low to high; at high the score is below, by end_slack, and it does not rise.

    The search begins where the fall was last known to be, since an event moves it by hours rather than days.
    """
    t = row[ladder_at(tables, ladder) + FALLS_AT] // 1000
    if not low < t < high:
        t = low
    slack, slope = slack_and_slope(tables, ladder, row, row_f, t * 1000)
    if slack < 0.0 and t > low:
        t, high = low, t
        slack, slope = slack_and_slope(tables, ladder, row, row_f, t * 1000)
    if slack < 0.0:
        return low * 1000
    low = t
    is_cut = False
    while True:
        leaves = middle_leave(tables, ladder, row, low, high)
        if leaves < 0:
            break
        t = leaves
        slack, slope = slack_and_slope(tables, ladder, row, row_f, t * 1000)
        low, high = bracket_with(t, slack, low, high)
        is_cut = is_cut or slack < 0.0
    if is_cut and high - low > 1:  # The step at its end would have Newton's method err.
        t = high - 1
        slack, slope = slack_and_slope(tables, ladder, row, row_f, t * 1000)
        low, high = bracket_with(t, slack, low, high)
    slow_steps, last_step = 0, high - low
    while high - low > 1:
        width = high - low
        guess = next_guess(tables, ladder, row, row_f, t, slack, slope, end_slack, low, high)
        if slow_steps == SLOW_STEPS_MAX:
            guess, slow_steps = (low + high) // 2, 0
        step, t = abs(guess - t), guess
        slack, slope = slack_and_slope(tables, ladder, row, row_f, t * 1000)
        low, high = bracket_with(t, slack, low, high)
        slow_steps = slow_steps + 1 if 2 * (high - low) > width and 2 * step > last_step else 0
        last_step = step
    return high * 1000


@inlined
def bracket_with(t, slack, low, high):
    """Answer the bracket after a look at one second in it."""
    if slack < 0.0:
        return low, t
    return t, high


@inlined
def next_guess(tables, ladder, row, row_f, t, slack, slope, end_slack, low, high):
    """
    Answer the second, between those of the bracket, to look at next.

    Newton's step, as if all that the score has above its end fell by one half-life: of one decayed feature it is
    exact. Where the score stands still, the next bend of a curve.
    """
    if slope < 0.0:
        left, step = slack - end_slack, -slack / slope
        if left > 0.0:
            step = np.log(left / -end_slack) * left / -slope
        step = min(max(step, float(low - t)), float(high - t))
        return min(max(t + int(np.floor(step)), low + 1), high - 1)
    bend = next_bend(tables, ladder, row, row_f, low, high)
    return bend if bend >= 0 else (low + high) // 2


@borrowing
def slack_and_slope(tables, ladder, row, row_f, t_ms):
    """Answer how far a ladder's score, a sum, is above the present rung's keep_at, and how it changes in a second."""
    rung = row[ladder_at(tables, ladder) + RUNG]
    score = ladder_cell(tables, ladder, L_SCORE)
    total, slope = 0.0, 0.0
    for part in range(score_cell(tables, score, S_PART), score_cell(tables, score, S_PART_END)):
        f = part_cell(tables, part, P_FEATURE)
        value = feature_value(tables, f, row, row_f, t_ms)
        total += curve_points(tables, part, value)
        kind = feature_cell(tables, f, F_KIND)
        if kind == DECAYED:
            change = -value * LN_2 * 1000.0 / feature_number(tables, f, F_HALF_LIFE)
            slope += curve_slope(tables, part, value, False) * change
        elif kind == SINCE and value == value:
            slope += curve_slope(tables, part, value, True)
    return total - rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP), slope


@inlined
def curve_slope(tables, part, value, is_rising):
    """Answer the points for one more of a feature, on the side of a value to which it moves; 0 beyond the ends."""
    for point in range(part_cell(tables, part, P_POINT) + 1, part_cell(tables, part, P_POINT_END)):
        left, right = point_number(tables, point - 1, 0), point_number(tables, point, 0)
        if (left <= value < right) if is_rising else (left < value <= right):
            return (point_number(tables, point, 1) - point_number(tables, point - 1, 1)) / (right - left)
    return 0.0


@borrowing
def next_bend(tables, ladder, row, row_f, low, high):
    """Answer the first second within a bracket that is behind a bend of one of the curves; -1 if there is none."""
    found = np.int64(-1)
    score = ladder_cell(tables, ladder, L_SCORE)
    for part in range(score_cell(tables, score, S_PART), score_cell(tables, score, S_PART_END)):
        for point in range(part_cell(tables, part, P_POINT), part_cell(tables, part, P_POINT_END)):
            bend = bend_of(tables, part, point, row, row_f)
            if low < bend < high and (found < 0 or bend < found):
                found = bend
    return found


@borrowing
def bend_of(tables, part, point, row, row_f):
    """Answer the first second behind a part's passing of one of its points; -1 if it never does."""
    f = part_cell(tables, part, P_FEATURE)
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    x = point_number(tables, point, 0)
    if kind == SINCE and row[at + SINCE_NOW] != NONE:
        return (row[at + SINCE_NOW] + int(x * 1000.0)) // 1000 + 1
    if kind == DECAYED and x > 0.0:
        times = row_f[at + DECAYED_VALUE] * feature_number(tables, f, F_UNIT) / x
        if times > 1.0:
            age_ms = feature_number(tables, f, F_HALF_LIFE) * np.log2(times)
            return (row[at + DECAYED_AT] + int(age_ms)) // 1000 + 1
    return np.int64(-1)


@borrowing
def middle_leave(tables, ladder, row, low, high):
    """Answer a second within a bracket at which a bucket or day has just left, of the first part with any; or -1."""
    score = ladder_cell(tables, ladder, L_SCORE)
    for part in range(score_cell(tables, score, S_PART), score_cell(tables, score, S_PART_END)):
        f = part_cell(tables, part, P_FEATURE)
        kind = feature_cell(tables, f, F_KIND)
        if kind == WINDOW:
            found = middle_bucket_leave(tables, f, row, low, high)
        elif kind == ACTIVE_DAYS:
            found = middle_day_leave(tables, f, row, low, high)
        else:
            found = np.int64(-1)
        if found >= 0:
            return found
    return np.int64(-1)


@borrowing
def middle_bucket_leave(tables, f, row, low, high):
    """Answer when the bucket nearest to the middle of those leaves that hold something and leave within a bracket."""
    at, span = feature_cell(tables, f, F_AT), feature_cell(tables, f, F_SPAN)
    if row[at + WINDOW_SUM] == 0 or row[at + WINDOW_NEWEST] == NONE:
        return np.int64(-1)
    ring = feature_cell(tables, f, F_RING)
    first = max(bucket_of(tables, f, low * 1000 - span), row[at + WINDOW_TAIL])
    last = min(bucket_of(tables, f, (high - 1) * 1000 - span) - 1, row[at + WINDOW_NEWEST])
    if row[at + WINDOW_RING + row[at + WINDOW_NEWEST] % ring] == row[at + WINDOW_SUM]:
        first = max(first, row[at + WINDOW_NEWEST])  # All others are empty.
    for n in range(last - first + 1):
        bucket = nth_from_the_middle(first, last, n)
        if row[at + WINDOW_RING + bucket % ring]:
            return -(-(bucket_end(tables, f, bucket) + span) // 1000)
    return np.int64(-1)


@borrowing
def middle_day_leave(tables, f, row, low, high):
    """Answer the same of active days."""
    at, days = feature_cell(tables, f, F_AT), feature_cell(tables, f, F_DAYS)
    alive = days_alive(tables, f, row, at, low * 1000)
    if not alive:
        return np.int64(-1)
    anchor = row[at + DAYS_ANCHOR]
    first = max(day_of(tables, low * 1000) - days + 1, anchor - 63)
    last = min(day_of(tables, (high - 1) * 1000) - days, anchor)
    for n in range(last - first + 1):
        day = nth_from_the_middle(first, last, n)
        if alive >> np.uint64(anchor - day) & np.uint64(1):
            return -(-day_start(tables, day + days) // 1000)
    return np.int64(-1)


@inlined
def nth_from_the_middle(first, last, n):
    """Answer the whole numbers from first to last, those nearest to the middle first."""
    aside = (n + 1) // 2
    middle = (first + last) // 2
    return middle + aside if n % 2 else middle - aside
