"""
This file holds the kernels of headroom: points that events may still add before a score can reach the next rung.

With no event a score can only fall, unless it has a ratio. So when somebody has looked at a score, it stays below the
next rung until events have added what was missing then; how much one can add at most is in the policy's tables, see
gains.py. Headroom is known of users at work only, and is never stored: 0, as in a blank row, has the next event look.
"""

from scoring.borrowing import borrowing, inlined
from scoring.lookup import gain_number, ladder_cell, limit, rung_number
from scoring.row import RUNG
from scoring.scores import ladder_at
from scoring.tables import G_MOST, G_PER_MINOR, G_POINTS, L_RUNG, L_RUNGS, M_HEADROOM_AT, R_NEAR


@borrowing
def note_headroom(tables, row, row_f, ladder, score):
    """Note, after a look at the score, how far the next rung is; the top rung has none."""
    rung = row[ladder_at(tables, ladder) + RUNG]
    if rung + 1 < ladder_cell(tables, ladder, L_RUNGS):
        near = rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung + 1, R_NEAR)
        row_f[limit(tables, M_HEADROOM_AT) + ladder] = near - score


@inlined
def has_headroom(tables, row, row_f, ladder, type_number, amount_minor):
    """Take what an event adds at most off a ladder's headroom; tell that the next rung is still out of reach."""
    at = limit(tables, M_HEADROOM_AT) + ladder
    rung = row[ladder_at(tables, ladder) + RUNG]
    near = rung_number(tables, ladder_cell(tables, ladder, L_RUNG) + rung + 1, R_NEAR)
    points = gain_number(tables, type_number, ladder, G_POINTS)
    points += gain_number(tables, type_number, ladder, G_PER_MINOR) * amount_minor
    below_most = near - gain_number(tables, type_number, ladder, G_MOST)
    row_f[at] = max(row_f[at] - points, min(row_f[at], below_most))
    return row_f[at] > 0.0
