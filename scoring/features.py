"""This file holds the kernels of the features: what an event adds, what a refund takes out, the value at a time.

decayed      sum of weight * 2 ** (-(t - event_time) / half_life); kept as a value and the time it is aged to
window       sum of the buckets whose end is later than t - span; a ring of buckets, alive from `tail` to `newest`
total        sum
since        seconds since the newest (or oldest) event; undefined before it or while an `until` event is newer
active_days  local days with an event among the last `span`; a bit a day, bit 0 is the anchor day
ratio        over / under; undefined while under < at_least
Definitions: docs/policy.md. What no refund can undo any more is kept apart ("kept") from the present value.
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.buckets import bucket_end, bucket_of, day_of, day_start
from scoring.lookup import feature_cell, feature_number, type_cell, weight
from scoring.row import (
    DAYS_ANCHOR,
    DAYS_KEPT,
    DAYS_NOW,
    DECAYED_AT,
    DECAYED_VALUE,
    NONE,
    ORDER_GONE,
    ORDER_MATCH,
    ORDER_TIME,
    ORDER_TYPE,
    ORDER_WORDS,
    ORDERS_AT,
    ORDERS_COUNT,
    SINCE_KEPT,
    SINCE_NOW,
    TOTAL,
    UNTIL_KEPT,
    UNTIL_NOW,
    WINDOW_NEWEST,
    WINDOW_RING,
    WINDOW_SUM,
    WINDOW_TAIL,
)
from scoring.tables import (
    ACTIVE_DAYS,
    DECAYED,
    F_AMOUNT,
    F_AT,
    F_AT_LEAST,
    F_DAYS,
    F_FIRST,
    F_HALF_LIFE,
    F_HAS_UNTIL,
    F_KIND,
    F_OVER,
    F_RING,
    F_SPAN,
    F_UNDER,
    F_UNIT,
    RATIO,
    SINCE,
    T_UNTIL,
    TOTALS,
    WINDOW,
)


@inlined
def window_advance(tables, f, row, at, t_ms):
    """Let the buckets leave whose end is not later than t - span."""
    live = bucket_of(tables, f, t_ms - feature_cell(tables, f, F_SPAN))
    if row[at + WINDOW_NEWEST] == NONE:
        row[at + WINDOW_TAIL] = live
        row[at + WINDOW_NEWEST] = live - 1
        return
    ring = feature_cell(tables, f, F_RING)
    stop = min(live - 1, row[at + WINDOW_NEWEST])
    for bucket in range(row[at + WINDOW_TAIL], stop + 1):
        cell = at + WINDOW_RING + bucket % ring
        row[at + WINDOW_SUM] -= row[cell]
        row[cell] = 0
    row[at + WINDOW_TAIL] = max(row[at + WINDOW_TAIL], live)
    row[at + WINDOW_NEWEST] = max(row[at + WINDOW_NEWEST], live - 1)


@inlined
def window_add(tables, f, row, at, t_ms, quantity):
    """Add to the bucket of an instant, unless it has left."""
    bucket = bucket_of(tables, f, t_ms)
    if bucket < row[at + WINDOW_TAIL]:
        return
    row[at + WINDOW_NEWEST] = max(row[at + WINDOW_NEWEST], bucket)
    row[at + WINDOW_RING + bucket % feature_cell(tables, f, F_RING)] += quantity
    row[at + WINDOW_SUM] += quantity


@inlined
def window_at(tables, f, row, at, t_ms):
    """Sum the buckets that are alive at a time not before the last advance."""
    total = row[at + WINDOW_SUM]
    if total == 0 or row[at + WINDOW_NEWEST] == NONE:
        return total
    newest = row[at + WINDOW_NEWEST]
    live = bucket_of(tables, f, t_ms - feature_cell(tables, f, F_SPAN))
    if live > newest:
        return 0
    left = live - row[at + WINDOW_TAIL]
    if left <= newest - live:
        return total - ring_sum(tables, f, row, at, row[at + WINDOW_TAIL], left)
    return ring_sum(tables, f, row, at, live, newest - live + 1)


@borrowing
def ring_sum(tables, f, row, at, bucket, count):
    """Sum so many buckets; a division for each would cost more than all else."""
    ring = feature_cell(tables, f, F_RING)
    place, total = bucket % ring, np.int64(0)
    for _ in range(count):
        total += row[at + WINDOW_RING + place]
        place += 1
        if place == ring:
            place = 0
    return total


@inlined
def decayed_add(row, row_f, at, t_ms, points, half_life_ms):
    """Age the value to the newer of both times and add; points of a late event arrive already aged."""
    age_ms = t_ms - row[at + DECAYED_AT]
    if age_ms >= 0:
        row_f[at + DECAYED_VALUE] = row_f[at + DECAYED_VALUE] * 2.0 ** (-age_ms / half_life_ms) + points
        row[at + DECAYED_AT] = t_ms
    else:
        row_f[at + DECAYED_VALUE] += points * 2.0 ** (age_ms / half_life_ms)


@borrowing
def decayed_take(row, row_f, at, t_ms, points, half_life_ms):
    """Take points of an order out at the order's time; rounding leaves no negative remainder."""
    age_ms = row[at + DECAYED_AT] - t_ms
    left = row_f[at + DECAYED_VALUE] - points * 2.0 ** (-age_ms / half_life_ms)
    row_f[at + DECAYED_VALUE] = left if left > 0.0 else 0.0


@inlined
def days_add(row, at, day, kept):
    """Set the bit of a day; `kept` when no refund can take it back."""
    if row[at + DAYS_ANCHOR] == NONE:
        row[at + DAYS_ANCHOR] = day
    ahead = day - row[at + DAYS_ANCHOR]
    if ahead > 0:
        for word in (at + DAYS_KEPT, at + DAYS_NOW):
            row[word] = np.int64(np.uint64(row[word]) << np.uint64(ahead)) if ahead < 64 else 0
        row[at + DAYS_ANCHOR] = day
    back = row[at + DAYS_ANCHOR] - day
    if back < 64:
        bit = np.int64(np.uint64(1) << np.uint64(back))
        row[at + DAYS_NOW] |= bit
        if kept:
            row[at + DAYS_KEPT] |= bit


@borrowing
def days_alive(tables, f, row, at, t_ms):
    """Answer the bits of the days that are among the last `span` days at a time."""
    if row[at + DAYS_ANCHOR] == NONE:
        return np.uint64(0)
    span = feature_cell(tables, f, F_DAYS) - (day_of(tables, t_ms) - row[at + DAYS_ANCHOR])
    if span <= 0:
        return np.uint64(0)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - min(span, 64))
    return np.uint64(row[at + DAYS_NOW]) & mask


@borrowing
def bit_count(bits):
    """Count the set bits of a 64-bit word."""
    count = 0
    while bits:
        bits &= bits - np.uint64(1)
        count += 1
    return count


@inlined
def since_note(row, at, kept_word, now_word, t_ms, kept, first):
    """Note an event's time: the newest, or with `first` the oldest; tell whether that changed."""
    changed = row[at + now_word] == NONE or (
        t_ms < row[at + now_word] if first else t_ms > row[at + now_word]
    )
    if changed:
        row[at + now_word] = t_ms
    if kept and (
        row[at + kept_word] == NONE or (t_ms < row[at + kept_word] if first else t_ms > row[at + kept_word])
    ):
        row[at + kept_word] = t_ms
    return changed


@inlined
def note_event(tables, row, row_f, as_of_ms, t_ms, type_number, match, amount_minor, kept):
    """
    Add an event to every feature that counts it; answer the features it changed.

    Args:
        as_of_ms: the user's time with this event in it; windows are advanced to it first.
        match: bit f set when feature f counts the event.
        amount_minor: money in minor units.
        kept: False for an order, which a refund may still undo.
    """
    ended = type_cell(tables, type_number, T_UNTIL)
    touched = match | ended
    changed = np.int64(0)
    f = 0
    while touched:
        if touched & 1 and add_to_feature(
            tables, f, row, row_f, as_of_ms, t_ms, type_number, match, amount_minor, kept
        ):
            changed |= np.int64(1) << f
        touched >>= 1
        f += 1
    return changed


@inlined
def add_to_feature(tables, f, row, row_f, as_of_ms, t_ms, type_number, match, amount_minor, kept):
    """Add one event to one feature, as the feature's kind has it; tell whether it changed."""
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    quantity = amount_minor if feature_cell(tables, f, F_AMOUNT) else 1
    if kind == DECAYED:
        points = weight(tables, type_number, f) * quantity
        decayed_add(row, row_f, at, t_ms, points, feature_number(tables, f, F_HALF_LIFE))
    elif kind == WINDOW:
        window_advance(tables, f, row, at, as_of_ms)
        window_add(tables, f, row, at, t_ms, quantity)
    elif kind == TOTALS:
        row[at + TOTAL] += quantity
    elif kind == SINCE:
        changed = False
        if (match >> f) & 1:
            first = feature_cell(tables, f, F_FIRST) == 1
            changed = since_note(row, at, SINCE_KEPT, SINCE_NOW, t_ms, kept, first)
        if (type_cell(tables, type_number, T_UNTIL) >> f) & 1:
            changed = since_note(row, at, UNTIL_KEPT, UNTIL_NOW, t_ms, kept, False) or changed
        return changed
    elif kind == ACTIVE_DAYS:
        days_add(row, at, day_of(tables, t_ms), kept)
    return True


@borrowing
def take_quantity(tables, f, row, row_f, t_ms, type_number, quantity):
    """Take a quantity of an order out of a summing feature, at the order's time."""
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    if kind == DECAYED:
        points = weight(tables, type_number, f) * quantity
        decayed_take(row, row_f, at, t_ms, points, feature_number(tables, f, F_HALF_LIFE))
    elif kind == WINDOW:
        bucket = bucket_of(tables, f, t_ms)
        if row[at + WINDOW_TAIL] <= bucket <= row[at + WINDOW_NEWEST]:
            row[at + WINDOW_RING + bucket % feature_cell(tables, f, F_RING)] -= quantity
            row[at + WINDOW_SUM] -= quantity
    elif kind == TOTALS:
        row[at + TOTAL] -= quantity


@borrowing
def take_money(tables, row, row_f, t_ms, type_number, match, amount_minor):
    """Take money of an order out of every `of: amount` feature that counted it."""
    f = 0
    while match:
        if match & 1 and feature_cell(tables, f, F_AMOUNT):
            take_quantity(tables, f, row, row_f, t_ms, type_number, amount_minor)
        match >>= 1
        f += 1


@borrowing
def take_order(state, tables, row, row_f, t_ms, type_number, match):
    """Take an order of which nothing is left out of every feature; it is marked gone in the orders already."""
    touched = match | type_cell(tables, type_number, T_UNTIL)
    f = 0
    while touched:
        if touched & 1:
            kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
            if kind == SINCE:
                recall_since(state, tables, f, row, at)
            elif kind == ACTIVE_DAYS:
                recall_days(state, tables, f, row, at)
            elif not feature_cell(tables, f, F_AMOUNT):
                take_quantity(tables, f, row, row_f, t_ms, type_number, 1)
        touched >>= 1
        f += 1


@borrowing
def recall_since(state, tables, f, row, at):
    """Rebuild a `since` from what is kept and the orders that are left."""
    first = feature_cell(tables, f, F_FIRST) == 1
    row[at + SINCE_NOW] = row[at + SINCE_KEPT]
    row[at + UNTIL_NOW] = row[at + UNTIL_KEPT]
    for entry in range(row[ORDERS_COUNT]):
        order = row[ORDERS_AT] + ORDER_WORDS * entry
        type_number = state.pool[order + ORDER_TYPE]
        if type_number == ORDER_GONE:
            continue
        t_ms = state.pool[order + ORDER_TIME]
        if (state.pool[order + ORDER_MATCH] >> f) & 1:
            since_note(row, at, SINCE_KEPT, SINCE_NOW, t_ms, False, first)
        if (type_cell(tables, type_number, T_UNTIL) >> f) & 1:
            since_note(row, at, UNTIL_KEPT, UNTIL_NOW, t_ms, False, False)


@borrowing
def recall_days(state, tables, f, row, at):
    """Rebuild the active days from what is kept and the orders that are left."""
    row[at + DAYS_NOW] = row[at + DAYS_KEPT]
    for entry in range(row[ORDERS_COUNT]):
        order = row[ORDERS_AT] + ORDER_WORDS * entry
        if state.pool[order + ORDER_TYPE] != ORDER_GONE and (state.pool[order + ORDER_MATCH] >> f) & 1:
            days_add(row, at, day_of(tables, state.pool[order + ORDER_TIME]), False)


@borrowing
def keep_order(tables, row, t_ms, type_number, match):
    """Fold an order that leaves the memory into what cannot be undone."""
    touched = match | type_cell(tables, type_number, T_UNTIL)
    f = 0
    while touched:
        if touched & 1:
            kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
            if kind == SINCE and (match >> f) & 1:
                since_note(row, at, SINCE_KEPT, SINCE_NOW, t_ms, True, feature_cell(tables, f, F_FIRST) == 1)
            if kind == SINCE and (type_cell(tables, type_number, T_UNTIL) >> f) & 1:
                since_note(row, at, UNTIL_KEPT, UNTIL_NOW, t_ms, True, False)
            if kind == ACTIVE_DAYS:
                days_add(row, at, day_of(tables, t_ms), True)
        touched >>= 1
        f += 1


@inlined
def plain_value(tables, f, row, row_f, t_ms):
    """Evaluate a feature that is no ratio; NaN when undefined."""
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    unit = feature_number(tables, f, F_UNIT)
    if kind == DECAYED:
        value, age_ms = row_f[at + DECAYED_VALUE], t_ms - row[at + DECAYED_AT]
        if value == 0.0 or age_ms == 0:  # The event at hand has just been added; most users never bought.
            return value * unit
        return value * 2.0 ** (-age_ms / feature_number(tables, f, F_HALF_LIFE)) * unit
    if kind == WINDOW:
        return window_at(tables, f, row, at, t_ms) * unit
    if kind == TOTALS:
        return row[at + TOTAL] * unit
    if kind == SINCE:
        noted = row[at + SINCE_NOW]
        if noted == NONE or (feature_cell(tables, f, F_HAS_UNTIL) and row[at + UNTIL_NOW] > noted):
            return np.nan
        return (t_ms - noted) / 1000.0
    return float(bit_count(days_alive(tables, f, row, at, t_ms)))


@inlined
def feature_value(tables, f, row, row_f, t_ms):
    """Evaluate a feature at a time not before the user's last; NaN when undefined."""
    if feature_cell(tables, f, F_KIND) == RATIO:
        return ratio_value(tables, f, row, row_f, t_ms)
    return plain_value(tables, f, row, row_f, t_ms)


@borrowing
def ratio_value(tables, f, row, row_f, t_ms):
    """Divide what two features are at a time; NaN when undefined."""
    under = plain_value(tables, feature_cell(tables, f, F_UNDER), row, row_f, t_ms)
    if under < feature_number(tables, f, F_AT_LEAST):
        return np.nan
    return plain_value(tables, feature_cell(tables, f, F_OVER), row, row_f, t_ms) / under


@borrowing
def next_leave(tables, f, row, t_ms):
    """Answer the first instant after t at which something leaves a window or the active days; -1 for never."""
    kind, at = feature_cell(tables, f, F_KIND), feature_cell(tables, f, F_AT)
    span = feature_cell(tables, f, F_SPAN)
    if kind == WINDOW and row[at + WINDOW_NEWEST] != NONE:
        live = max(bucket_of(tables, f, t_ms - span), row[at + WINDOW_TAIL])
        for bucket in range(live, row[at + WINDOW_NEWEST] + 1):
            if row[at + WINDOW_RING + bucket % feature_cell(tables, f, F_RING)]:
                return bucket_end(tables, f, bucket) + span
    if kind == ACTIVE_DAYS:
        alive = days_alive(tables, f, row, at, t_ms)
        if alive:
            oldest = 63
            while not (alive >> np.uint64(oldest)) & np.uint64(1):
                oldest -= 1
            return day_start(tables, row[at + DAYS_ANCHOR] - oldest + feature_cell(tables, f, F_DAYS))
    return -1
