"""This file reads a compiled policy inside kernels: where a table begins in the two arrays, and one of its cells."""

import numpy as np

from scoring.borrowing import inlined
from scoring.tables import (
    AT_FEATURES,
    AT_LADDERS,
    AT_LIMITS,
    AT_PARTS,
    AT_SCORES,
    AT_TYPES,
    FEATURE_COLUMNS,
    FEATURE_NUMBERS,
    GAIN_NUMBERS,
    LADDER_COLUMNS,
    LADDER_COUNT,
    NUMBERS_AT_FEATURES,
    NUMBERS_AT_GAINS,
    NUMBERS_AT_POINTS,
    NUMBERS_AT_RUNGS,
    NUMBERS_AT_WEIGHTS,
    PART_COLUMNS,
    POINT_NUMBERS,
    RUNG_NUMBERS,
    SCORE_COLUMNS,
    TYPE_COLUMNS,
    WEIGHT_NUMBERS,
)


@inlined
def limit(tables, place):
    """Read one of the numbers that stand alone."""
    return tables.cells[AT_LIMITS + place]


@inlined
def feature_cell(tables, feature, column):
    """Read a whole number of a feature."""
    return tables.cells[np.uintp(tables.cells[AT_FEATURES] + FEATURE_COLUMNS * feature + column)]


@inlined
def feature_number(tables, feature, column):
    """Read a float of a feature."""
    return tables.numbers[np.uintp(tables.cells[NUMBERS_AT_FEATURES] + FEATURE_NUMBERS * feature + column)]


@inlined
def weight(tables, type_number, feature):
    """Read the points that an event of a type gives to a decayed feature."""
    return tables.numbers[
        np.uintp(tables.cells[NUMBERS_AT_WEIGHTS] + tables.cells[WEIGHT_NUMBERS] * type_number + feature)
    ]


@inlined
def type_cell(tables, type_number, column):
    """Read a whole number of an event type."""
    return tables.cells[np.uintp(tables.cells[AT_TYPES] + TYPE_COLUMNS * type_number + column)]


@inlined
def score_cell(tables, score, column):
    """Read a whole number of a score."""
    return tables.cells[np.uintp(tables.cells[AT_SCORES] + SCORE_COLUMNS * score + column)]


@inlined
def part_cell(tables, part, column):
    """Read a whole number of a part."""
    return tables.cells[np.uintp(tables.cells[AT_PARTS] + PART_COLUMNS * part + column)]


@inlined
def point_number(tables, point, column):
    """Read x or y of a curve's point."""
    return tables.numbers[np.uintp(tables.cells[NUMBERS_AT_POINTS] + POINT_NUMBERS * point + column)]


@inlined
def ladder_count(tables):
    """Count the ladders, tags among them."""
    return tables.cells[LADDER_COUNT]


@inlined
def ladder_cell(tables, ladder, column):
    """Read a whole number of a ladder."""
    return tables.cells[np.uintp(tables.cells[AT_LADDERS] + LADDER_COLUMNS * ladder + column)]


@inlined
def rung_number(tables, rung, column):
    """Read a threshold of a rung."""
    return tables.numbers[np.uintp(tables.cells[NUMBERS_AT_RUNGS] + RUNG_NUMBERS * rung + column)]


@inlined
def gain_number(tables, type_number, ladder, column):
    """Read what an event of a type adds to a ladder's score at most."""
    cell = tables.cells[LADDER_COUNT] * type_number + ladder
    return tables.numbers[np.uintp(tables.cells[NUMBERS_AT_GAINS] + GAIN_NUMBERS * cell + column)]
