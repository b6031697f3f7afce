"""This file holds the kernels of curves and scores.

curve  piecewise linear through its points, flat beyond the ends; an undefined feature gives 0 points
score  the sum or the maximum of its parts; it reaches h when score >= h - 1e-9 * max(1, |h|) (see tables.py)
"""

from scoring.borrowing import borrowing, inlined
from scoring.features import feature_value
from scoring.lookup import ladder_cell, limit, part_cell, point_number, rung_number, score_cell
from scoring.row import AS_OF, LADDER_WORDS, RUNG
from scoring.tables import (
    L_RUNG,
    L_SCORE,
    M_LADDERS_AT,
    P_FEATURE,
    P_POINT,
    P_POINT_END,
    R_KEEP,
    S_MAX,
    S_PART,
    S_PART_END,
)


@inlined
def curve_points(tables, part, value):
    """Evaluate a part's curve; NaN gives 0."""
    start, end = part_cell(tables, part, P_POINT), part_cell(tables, part, P_POINT_END)
    if value != value:
        return 0.0
    if value <= point_number(tables, start, 0):
        return point_number(tables, start, 1)
    for point in range(start + 1, end):
        right = point_number(tables, point, 0)
        if value <= right:
            left = point_number(tables, point - 1, 0)
            share = (value - left) / (right - left)
            return point_number(tables, point - 1, 1) + share * (
                point_number(tables, point, 1) - point_number(tables, point - 1, 1)
            )
    return point_number(tables, end - 1, 1)


@borrowing
def curve_inverse(tables, part, points):
    """
    Answer where a monotone curve crosses so many points; they are between those of its two ends.

    A falling curve: the last x that still gives them. A rising one: the first.
    """
    start, end = part_cell(tables, part, P_POINT), part_cell(tables, part, P_POINT_END)
    rises = point_number(tables, end - 1, 1) > point_number(tables, start, 1)
    for point in range(start + 1, end):
        y0, y1 = point_number(tables, point - 1, 1), point_number(tables, point, 1)
        if (y0 < points <= y1) if rises else (y0 >= points > y1):
            x0, x1 = point_number(tables, point - 1, 0), point_number(tables, point, 0)
            return x0 + (points - y0) / (y1 - y0) * (x1 - x0)
    return point_number(tables, end - 1, 0)


@borrowing
def part_points(tables, part, row, row_f, t_ms):
    """Evaluate the points of one part at a time not before the user's last."""
    return curve_points(
        tables, part, feature_value(tables, part_cell(tables, part, P_FEATURE), row, row_f, t_ms)
    )


@borrowing
def score_at(tables, s, row, row_f, t_ms):
    """Evaluate a score at a time not before the user's last."""
    start, end = score_cell(tables, s, S_PART), score_cell(tables, s, S_PART_END)
    total = 0.0
    for part in range(start, end):
        value = feature_value(tables, part_cell(tables, part, P_FEATURE), row, row_f, t_ms)
        points = curve_points(tables, part, value)
        if score_cell(tables, s, S_MAX):
            total = points if part == start else max(total, points)
        else:
            total += points
    return total


@inlined
def ladder_at(tables, ladder):
    """Answer where a ladder's words stand in a row."""
    return limit(tables, M_LADDERS_AT) + LADDER_WORDS * ladder


@borrowing
def is_below(tables, ladder, row, row_f, t_ms):
    """Tell whether a ladder's score is below the keep_at of the present rung at a time."""
    rung = row[ladder_at(tables, ladder) + RUNG]
    score = score_at(tables, ladder_cell(tables, ladder, L_SCORE), row, row_f, t_ms)
    return score < rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP)


@borrowing
def slack(tables, ladder, row, row_f, t_ms):
    """Answer how far a ladder's score is above the present rung's keep_at; negative when below."""
    rung = row[ladder_at(tables, ladder) + RUNG]
    score = score_at(tables, ladder_cell(tables, ladder, L_SCORE), row, row_f, t_ms)
    return score - rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung, R_KEEP)


@borrowing
def ladder_score(tables, ladder, row, row_f):
    """Evaluate a ladder's score at the user's own time."""
    return score_at(tables, ladder_cell(tables, ladder, L_SCORE), row, row_f, row[AS_OF])
