"""This file holds the nouns of a policy: what is counted, scored and laddered, frozen and in base units.

Times are int milliseconds, thresholds and curve points are floats, money in curves is in major units.
Whoever builds these promises the rules of docs/policy.md; config/policy_file.py is where they are checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DAY_MS = 86_400_000

FEATURES_MAX = 62  # EventBatch.match is a signed 64-bit mask, a bit for each feature.
LADDERS_MAX = 62
BUCKETS_MAX = 400
ACTIVE_DAYS_SPAN_MS = 64 * DAY_MS  # One bit a day in one 64-bit word.

FeatureKind = Literal["decayed", "window", "total", "since", "active_days", "ratio"]
Quantity = Literal["count", "amount"]
WhereOp = Literal["present", "absent", "in", "between"]
Combine = Literal["sum", "max"]


@dataclass(frozen=True, slots=True)
class EventType:
    """
    Name one type of the closed list a policy scores.

    `order` types carry order_id and amount and are remembered; `refund` types undo a remembered order.
    """

    name: str
    order: bool = False
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Where:
    """
    Restrict a feature to the events whose `field` satisfies `op`.

    `in` compares with `values`; `between` includes both ends, None leaves an end open. The unit is the
    field's: major units for `amount` and `discount_amount`, seconds for `item_age`, Unix milliseconds for
    `item_launch_at`.
    """

    field: str
    op: WhereOp
    values: tuple[str, ...] | tuple[float, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """
    Describe one number kept for each user.

    `weights` runs parallel to `events`. `half_life_ms` belongs to decayed, `span_ms` to window and
    active_days, `bucket_ms` to window, `until` and `first` to since, the last three to ratio.
    """

    name: str
    kind: FeatureKind
    of: Quantity = "count"
    events: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    where: tuple[Where, ...] = ()
    half_life_ms: int = 0
    span_ms: int = 0
    bucket_ms: int = 0
    until: tuple[str, ...] = ()
    first: bool = False
    over: str = ""
    under: str = ""
    at_least: float = 0.0

    @property
    def counts_events(self) -> bool:
        """Tell whether events feed this feature themselves; a ratio only reads two others."""
        return self.kind != "ratio"


@dataclass(frozen=True, slots=True)
class Part:
    """Map a feature to points: piecewise linear through (x, points), x rising, flat beyond the ends."""

    feature: str
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Combine the points of the parts, in policy order."""

    name: str
    combine: Combine
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """Name one level: reached at `enter_at`, kept down to `keep_at`; rung 0 has -inf for both."""

    name: str
    enter_at: float
    keep_at: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """
    Order levels over one score.

    `max_steps_down` 0 means no limit. A tag is a ladder with the rungs off and on.
    """

    name: str
    score: str
    rungs: tuple[Rung, ...]
    grace_ms: int = 0
    min_dwell_ms: int = 0
    max_steps_down: int = 0
    step_period_ms: int = 0
    tag: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """
    Hold everything that decides a score.

    `ladders` lists ladders in file order, then tags in file order: the order of all outputs.
    """

    name: str
    version: int
    currency: str
    minor_digits: int
    timezone: str
    events: tuple[EventType, ...]
    features: tuple[Feature, ...]
    scores: tuple[Score, ...]
    ladders: tuple[Ladder, ...]
    order_memory_ms: int = 180 * DAY_MS
    orders_per_user: int = 64

    @property
    def label(self) -> str:
        """Give the name that profiles and changes carry, `ecommerce@1`."""
        return f"{self.name}@{self.version}"
