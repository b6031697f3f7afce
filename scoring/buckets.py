"""This file holds the kernels of the calendar: which local day an instant is in, which bucket, when that ends."""

from scoring.borrowing import borrowing, inlined
from scoring.lookup import feature_cell, limit
from scoring.row import DAY_MS
from scoring.tables import AT_DAYS, DAY_COUNT, F_BUCKET, F_DAYS, M_DAY_OFFSET


@borrowing
def day_of(tables, t_ms):
    """Number the local day of an instant, from 1970-01-01; days after the table are 24 h each."""
    starts, at = tables.cells, tables.cells[AT_DAYS]
    last = tables.cells[DAY_COUNT] - 1
    if t_ms >= starts[at + last]:
        return last + (t_ms - starts[at + last]) // DAY_MS
    day = min(max((t_ms + limit(tables, M_DAY_OFFSET)) // DAY_MS, 0), last)
    while day > 0 and starts[at + day] > t_ms:
        day -= 1
    while starts[at + day + 1] <= t_ms:
        day += 1
    return day


@borrowing
def day_start(tables, day):
    """Answer the Unix time at which a local day starts."""
    at, last = tables.cells[AT_DAYS], tables.cells[DAY_COUNT] - 1
    if day > last:
        return tables.cells[at + last] + (day - last) * DAY_MS
    return tables.cells[at + day]


@inlined
def bucket_of(tables, f, t_ms):
    """Number the bucket of an instant; before 1970 there is only bucket 0's day."""
    days = feature_cell(tables, f, F_DAYS)
    if days:
        return day_of(tables, t_ms) // days
    return t_ms // feature_cell(tables, f, F_BUCKET)


@borrowing
def bucket_end(tables, f, bucket):
    """Answer the Unix time at which a bucket ends."""
    days = feature_cell(tables, f, F_DAYS)
    if days:
        return day_start(tables, (bucket + 1) * days)
    return (bucket + 1) * feature_cell(tables, f, F_BUCKET)
