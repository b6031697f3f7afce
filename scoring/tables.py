"""This file compiles a policy into the flat numeric tables that the kernels read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from scoring import row as words
from scoring.gains import GAIN_NUMBERS, gains_of, rounding_of
from scoring.policy import EventType, Feature, Ladder, Policy, Score
from scoring.row import (
    DAY_MS,
    FIRST_SEEN,
    LADDER_WORDS,
    LINE_WORDS,
    Layout,
    feature_words,
    layout_of,
    ring_size,
)

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

DECAYED, WINDOW, TOTALS, SINCE, ACTIVE_DAYS, RATIO = range(6)
KINDS = {
    "decayed": DECAYED,
    "window": WINDOW,
    "total": TOTALS,
    "since": SINCE,
    "active_days": ACTIVE_DAYS,
    "ratio": RATIO,
}

# Columns of `features`.
F_KIND, F_AT, F_AMOUNT, F_SPAN, F_BUCKET, F_DAYS, F_RING, F_OVER, F_UNDER, F_FIRST, F_HAS_UNTIL = range(11)
# Columns of `feature_floats`.
F_HALF_LIFE, F_AT_LEAST, F_UNIT = range(3)
# Columns of `types`.
T_ORDER, T_REFUND, T_UNTIL, T_LINES = range(4)
# Columns of `scores`.
S_MAX, S_PART, S_PART_END = range(3)
# Columns of `parts`.
P_FEATURE, P_POINT, P_POINT_END = range(3)
# Columns of `ladders`.
(
    L_SCORE,
    L_RUNG,
    L_RUNGS,
    L_GRACE,
    L_DWELL,
    L_STEPS,
    L_STEP_PERIOD,
    L_DELAYED,
    L_RATIO,
    L_FEATURES,
) = range(10)
# Columns of `rungs`: the score that reaches them and that keeps them, tolerance included; and below which, whatever
# rounding does, a score does not reach them.
R_ENTER, R_KEEP, R_NEAR = range(3)
# Columns of `gains`.
G_POINTS, G_PER_MINOR, G_MOST = range(GAIN_NUMBERS)
# Places in `limits`.
(
    M_LATENESS,
    M_IDS,
    M_ORDER_MEMORY,
    M_ORDERS,
    M_LADDERS_AT,
    M_DAY_OFFSET,
    M_CHANGES,
    M_POOL,
    M_FIRSTS,
    M_RATIO_STEP,
    M_HEADROOM_AT,
) = range(11)

TOLERANCE = 1e-9  # a score reaches h when score >= h - TOLERANCE * max(1, |h|)
LINES_MAX = 63  # in T_LINES
LAST_TABLED_YEAR = 2100  # later days are taken as 24 h each


# What stands at the front of `cells`: where each table begins, its sizes, then the limits.
(
    AT_FEATURES,
    AT_TYPES,
    AT_SCORES,
    AT_PARTS,
    AT_LADDERS,
    AT_DAYS,
    NUMBERS_AT_FEATURES,
    NUMBERS_AT_WEIGHTS,
    NUMBERS_AT_POINTS,
    NUMBERS_AT_RUNGS,
    NUMBERS_AT_GAINS,
    WEIGHT_NUMBERS,
    LADDER_COUNT,
    DAY_COUNT,
    AT_LIMITS,
) = range(15)
LIMIT_COUNT = 11
FEATURE_COLUMNS, TYPE_COLUMNS, SCORE_COLUMNS, PART_COLUMNS, LADDER_COLUMNS = 11, 4, 3, 3, 10
FEATURE_NUMBERS, POINT_NUMBERS, RUNG_NUMBERS = 3, 2, 3


class Tables(NamedTuple):
    """
    A policy as two arrays, read through scoring/lookup.py.

    Two and not a dozen: a call inside a kernel passes every array of a tuple, and that cost more than the work.

    cells: header, limits, then row by row the whole numbers of features, types, scores, parts, ladders, and the
        Unix time at which each local day since 1970-01-01 starts.
    numbers: row by row the floats of features, weights (types x features), curve points, rungs, and gains (types x
        ladders).
    """

    cells: I64
    numbers: F64


@dataclass(frozen=True, slots=True)
class PolicyTables:
    """A compiled policy: the arrays, the row layout and a new user's row."""

    policy: Policy
    layout: Layout
    tables: Tables
    blank_row: I64
    parts_max: int
    changes_max: int  # of one user in one step
    pool_words_max: int  # that one user may take in one step


def compile_policy(
    policy: Policy, topics: int, allowed_lateness_ms: int, duplicates_per_user: int = 1024
) -> PolicyTables:
    """Compile a policy that has been checked; thresholds take the contract's tolerance in here, once."""
    layout = layout_of(policy, topics)
    parts, points, scores = _scores(policy)
    rungs, ladders = _ladders(policy)
    day_start_ms = _day_starts(policy.timezone)
    pool_words = _power_of_two(2 * duplicates_per_user) + _power_of_two(
        words.ORDER_WORDS * policy.orders_per_user
    )
    changes = sum(len(ladder.rungs) for ladder in policy.ladders) + len(policy.ladders)
    limits = [allowed_lateness_ms, duplicates_per_user, policy.order_memory_ms, policy.orders_per_user]
    limits += [layout.ladders_at, int(-day_start_ms[0]), changes, 2 * pool_words + 64]
    limits.append(sum(1 << number for number, feature in enumerate(policy.features) if feature.first))
    limits += [_ratio_step(policy, day_start_ms), layout.width]
    whole = (_features(policy, layout), _types(policy, layout), scores, parts, ladders, day_start_ms)
    floats = (_feature_floats(policy), _weights(policy), points, rungs, gains_of(policy))
    header = [*_starts(whole, AT_LIMITS + LIMIT_COUNT), *_starts(floats, 0)]
    header += [len(policy.features), len(policy.ladders), len(day_start_ms)]
    tables = Tables(
        cells=np.concatenate([np.array(header + limits, np.int64), *(table.ravel() for table in whole)]),
        numbers=np.concatenate([table.ravel() for table in floats]),
    )
    parts_max = max((len(score.parts) for score in policy.scores), default=0)
    return PolicyTables(
        policy, layout, tables, _blank_row(policy, layout), parts_max, changes, limits[M_POOL]
    )


def _ratio_step(policy: Policy, day_start_ms: I64) -> int:
    """Answer a number of ms: what leaves the inputs of a ratio leaves at one of its multiples; 0 without any."""
    ratios = [feature for feature in policy.features if feature.kind == "ratio"]
    if not ratios:
        return 0
    inputs = {name for feature in ratios for name in (feature.over, feature.under)}
    days = int(np.gcd.reduce(day_start_ms, initial=DAY_MS))
    steps = [
        math.gcd(feature.span_ms, days if feature.bucket_ms % DAY_MS == 0 else feature.bucket_ms)
        for feature in policy.features
        if feature.name in inputs
    ]
    return math.gcd(DAY_MS, *steps)


def _starts(tables: Sequence[NDArray[Any]], first: int) -> list[int]:
    """Answer where each table begins when they follow each other."""
    return [first + sum(table.size for table in tables[:number]) for number in range(len(tables))]


def _features(policy: Policy, layout: Layout) -> I64:
    numbers = {feature.name: number for number, feature in enumerate(policy.features)}
    table = np.zeros((len(policy.features), FEATURE_COLUMNS), np.int64)
    for number, feature in enumerate(policy.features):
        row = table[number]
        row[F_KIND], row[F_AT] = KINDS[feature.kind], layout.feature_at[number]
        row[F_AMOUNT], row[F_SPAN], row[F_BUCKET] = feature.of == "amount", feature.span_ms, feature.bucket_ms
        row[F_FIRST], row[F_HAS_UNTIL] = feature.first, bool(feature.until)
        if feature.kind == "window":
            row[F_RING] = ring_size(feature)
            row[F_DAYS] = 0 if feature.bucket_ms % DAY_MS else feature.bucket_ms // DAY_MS
        if feature.kind == "active_days":
            row[F_DAYS] = feature.span_ms // DAY_MS
        if feature.kind == "ratio":
            row[F_OVER], row[F_UNDER] = numbers[feature.over], numbers[feature.under]
    return table


def _feature_floats(policy: Policy) -> F64:
    minor = 10.0**-policy.minor_digits
    return np.array(
        [
            [feature.half_life_ms, feature.at_least, minor if feature.of == "amount" else 1.0]
            for feature in policy.features
        ],
        np.float64,
    ).reshape(len(policy.features), 3)


def _weights(policy: Policy) -> F64:
    weights = np.zeros((len(policy.events), len(policy.features)))
    types = {event.name: number for number, event in enumerate(policy.events)}
    for number, feature in enumerate(policy.features):
        for name, weight in zip(feature.events, feature.weights, strict=False):
            weights[types[name], number] = weight
    return weights


def _types(policy: Policy, layout: Layout) -> I64:
    table = np.zeros((len(policy.events), TYPE_COLUMNS), np.int64)
    for number, event in enumerate(policy.events):
        ended = sum(1 << f for f, feature in enumerate(policy.features) if event.name in feature.until)
        table[number] = event.order, event.refund, ended, _lines(policy, layout, event)
    return table


def _lines(policy: Policy, layout: Layout, event: EventType) -> int:
    """Answer a bit for each line of a row, up to 63, that an event of a type looks at, as a rule."""
    touched = [(0, layout.ladders_at + LADDER_WORDS * len(policy.ladders)), (layout.width, layout.work_width)]
    for feature, at in zip(policy.features, layout.feature_at, strict=True):
        if event.refund or event.name in feature.events or event.name in feature.until:
            touched.append((at, at + feature_words(feature)))
    lines = {word // LINE_WORDS for first, end in touched for word in range(first, end)}
    return sum(1 << line for line in lines if line < LINES_MAX)


def _scores(policy: Policy) -> tuple[I64, F64, I64]:
    numbers = {feature.name: number for number, feature in enumerate(policy.features)}
    parts: list[tuple[int, int, int]] = []
    points: list[tuple[float, float]] = []
    scores: list[tuple[int, int, int]] = []
    for score in policy.scores:
        start = len(parts)
        for part in score.parts:
            parts.append((numbers[part.feature], len(points), len(points) + len(part.curve)))
            points.extend(part.curve)
        scores.append((score.combine == "max", start, len(parts)))
    return np.array(parts, np.int64), np.array(points, np.float64), np.array(scores, np.int64)


def features_of(policy: Policy, score: Score) -> list[Feature]:
    """List the features a score looks at, ratios followed to what they divide."""
    by_name = {feature.name: feature for feature in policy.features}
    found = [by_name[part.feature] for part in score.parts]
    for feature in found:
        if feature.kind == "ratio":
            found += [by_name[feature.over], by_name[feature.under]]
    return found


def _has_kind(policy: Policy, score: Score, kind: str) -> bool:
    return any(feature.kind == kind for feature in features_of(policy, score))


def _ladders(policy: Policy) -> tuple[F64, I64]:
    rungs: list[tuple[float, float, float]] = []
    ladders: list[list[int]] = []
    scores = {score.name: (number, score) for number, score in enumerate(policy.scores)}
    for ladder in policy.ladders:
        number, score = scores[ladder.score]
        ladders.append([number, len(rungs), *_ladder_numbers(policy, ladder, score)])
        for rung in ladder.rungs:
            enter_at = _reached_at(rung.enter_at)
            near = enter_at - TOLERANCE * max(1.0, abs(rung.enter_at)) - rounding_of(policy, score)
            rungs.append((enter_at, _reached_at(rung.keep_at), near))
    return np.array(rungs, np.float64), np.array(ladders, np.int64)


def _ladder_numbers(policy: Policy, ladder: Ladder, score: Score) -> list[int]:
    delays = [ladder.grace_ms, ladder.min_dwell_ms, ladder.max_steps_down, ladder.step_period_ms]
    seen = features_of(policy, score)
    mask = sum(1 << number for number, feature in enumerate(policy.features) if feature in seen)
    return [len(ladder.rungs), *delays, any(delays), _has_kind(policy, score, "ratio"), mask]


def _reached_at(threshold: float) -> float:
    return threshold - TOLERANCE * max(1.0, abs(threshold)) if np.isfinite(threshold) else threshold


@cache
def _day_starts(zone_name: str) -> I64:
    """List the Unix time at which each local day starts: the first instant that has its date; takes 0.1 s a zone."""
    zone = ZoneInfo(zone_name)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = datetime(1970, 1, 1)
    count = (datetime(LAST_TABLED_YEAR, 1, 1) - start).days
    starts = np.empty(count, np.int64)
    for day in range(count):
        midnight = (start + timedelta(days=day)).replace(tzinfo=zone)
        instant = midnight.astimezone(UTC)
        # A midnight that the clock jumps over does not exist: Python then answers an instant before the jump.
        if instant.astimezone(zone).replace(tzinfo=None) != midnight.replace(tzinfo=None):
            instant = _first_instant_of(midnight, zone)
        starts[day] = (instant - epoch) // timedelta(milliseconds=1)
    return starts


def _first_instant_of(midnight: datetime, zone: ZoneInfo) -> datetime:
    """Find the first minute on or after a skipped local midnight."""
    instant = (midnight - timedelta(hours=3)).astimezone(UTC)
    while instant.astimezone(zone).date() < midnight.date():
        instant += timedelta(minutes=1)
    return instant


def _blank_row(policy: Policy, layout: Layout) -> I64:
    """Build the row of a user who has not been seen."""
    row = np.zeros(layout.work_width, np.int64)
    row[[FIRST_SEEN, words.NEWEST, words.AS_OF]] = words.NONE
    row[words.OFFSETS : words.OFFSETS + layout.topics] = -1
    for number in range(len(policy.ladders)):
        ladder = row[layout.ladders_at + LADDER_WORDS * number :]
        ladder[[words.SINCE, words.BELOW_SINCE, words.LAST_FALL]] = words.NONE
        ladder[words.FALLS_AT] = words.NEVER
    for number, feature in enumerate(policy.features):
        cells = row[layout.feature_at[number] :]
        if feature.kind == "since":
            cells[: words.UNTIL_NOW + 1] = words.NONE
        if feature.kind == "window":
            cells[[words.WINDOW_TAIL, words.WINDOW_NEWEST]] = words.NONE
        if feature.kind == "active_days":
            cells[words.DAYS_ANCHOR] = words.NONE
    return row


def _power_of_two(count: int) -> int:
    return 1 << max(3, (count - 1).bit_length())
