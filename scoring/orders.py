"""This file holds the kernels of an order: how it is remembered, and how a refund takes it back."""

import numpy as np

from scoring.borrowing import borrowing
from scoring.features import keep_order, take_money, take_order
from scoring.lookup import limit, type_cell
from scoring.memory import append_order, find_order, forget_first_order
from scoring.row import (
    NEWEST,
    ORDER_GONE,
    ORDER_LEFT,
    ORDER_MATCH,
    ORDER_TIME,
    ORDER_TYPE,
    ORDERS,
    ORDERS_AT,
    ORDERS_COUNT,
    SPEND,
)
from scoring.state import C_ORDERS_EVICTED, C_REFUND_EXCESS
from scoring.tables import M_LATENESS, M_ORDER_MEMORY, M_ORDERS, T_UNTIL


@borrowing
def place_order(tables, state, events, i, row):
    """Remember an order; the one applied first leaves when there are too many, or when no refund can reach it."""
    type_number, memory_ms = events.type[i], limit(tables, M_ORDER_MEMORY)
    oldest_ms = row[NEWEST] - limit(tables, M_LATENESS) - memory_ms
    while row[ORDERS_COUNT] > 0:
        first = row[ORDERS_AT]
        expired = state.pool[first + ORDER_TIME] < oldest_ms
        if not expired and row[ORDERS_COUNT] < limit(tables, M_ORDERS):
            break
        if state.pool[first + ORDER_TYPE] != ORDER_GONE:
            keep_order(
                tables,
                row,
                state.pool[first + ORDER_TIME],
                state.pool[first + ORDER_TYPE],
                state.pool[first + ORDER_MATCH],
            )
        if not expired:
            state.counts[C_ORDERS_EVICTED] += 1
        forget_first_order(state, row)
    append_order(
        state,
        row,
        events.order_id_hash[i],
        events.event_time_ms[i],
        events.amount_minor[i],
        events.match[i],
        type_number,
    )
    row[ORDERS] += 1
    row[SPEND] += events.amount_minor[i]


@borrowing
def undo_order(tables, state, events, i, row, row_f):
    """
    Take a refund out of its order, at the order's time; answer the amount taken and the features touched.

    Never more than what is left of the order: the excess is cut and counted. With nothing left the order
    leaves every feature, as if it had never been placed.
    """
    memory_ms = limit(tables, M_ORDER_MEMORY)
    order = find_order(state, row, memory_ms, events.order_id_hash[i], events.event_time_ms[i])
    taken = min(state.pool[order + ORDER_LEFT], events.amount_minor[i])
    if taken < events.amount_minor[i]:
        state.counts[C_REFUND_EXCESS] += 1
    type_number, match = state.pool[order + ORDER_TYPE], state.pool[order + ORDER_MATCH]
    if type_number == ORDER_GONE:
        return taken, np.int64(0)
    t_ms = state.pool[order + ORDER_TIME]
    state.pool[order + ORDER_LEFT] -= taken
    row[SPEND] -= taken
    take_money(tables, row, row_f, t_ms, type_number, match, taken)
    if state.pool[order + ORDER_LEFT] == 0:
        state.pool[order + ORDER_TYPE] = ORDER_GONE
        row[ORDERS] -= 1
        take_order(state, tables, row, row_f, t_ms, type_number, match)
    return taken, match | type_cell(tables, type_number, T_UNTIL)
