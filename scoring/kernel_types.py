"""This file names the numba types of what a shard's kernels are given."""

import numba
import numpy as np

from scoring.state import Changes, Events, State
from scoring.tables import Tables


def _tables_type() -> numba.types.Type:
    return numba.typeof(Tables(np.zeros(1, np.int64), np.zeros(1)))


def _state_type() -> numba.types.Type:
    ints, floats = np.zeros((1, 1), np.int64), np.zeros((1, 1))
    column, flags = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    return numba.typeof(
        State(ints, floats, column, column, column, flags, column, column, flags, column, column)
    )


def _changes_type() -> numba.types.Type:
    floats = np.zeros((1, 1))
    return numba.typeof(Changes(np.zeros((1, 1), np.int64), np.zeros(1), floats, floats))


def _events_type() -> numba.types.Type:
    column = np.zeros(1, np.int64)
    fate, kind = np.zeros(1, np.int8), np.zeros(1, np.int16)
    before, behind = [column] * 4, [column] * 6
    return numba.typeof(Events._make([*before, fate, kind, *behind]))


TABLES, STATE, CHANGES, EVENTS = _tables_type(), _state_type(), _changes_type(), _events_type()
INT = numba.types.int64
