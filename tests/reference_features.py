"""This file computes features and scores of contract section 5 from a user's whole history, each time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from math import fsum
from typing import Any
from zoneinfo import ZoneInfo

from scoring.policy import Feature, Part, Policy, Where

DAY_MS = 86_400_000
QUARTER_HOUR_MS = 900_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR_MAX_MS = 253_402_300_799_999 - 2 * DAY_MS  # Beyond it Python has no dates; the last offset goes on.


@dataclass
class Order:
    """What is left of one applied order; `forgotten_at` is how many events were applied when it was forgotten."""

    order_id: str
    time_ms: int
    left_minor: int
    gone: bool = False
    forgotten_at: int | None = None

    def was_remembered(self, number: int) -> bool:
        """Tell whether it was still remembered when so many events had been applied."""
        return self.forgotten_at is None or self.forgotten_at > number


@dataclass
class Applied:
    """One applied event with everything it said; `number` counts applied events of all users."""

    number: int
    event: dict[str, Any]
    order: Order | None = None
    taken_minor: int | None = None

    @property
    def time_ms(self) -> int:
        """Give the event's own time."""
        return self.event["event_time_ms"]

    @property
    def amount_minor(self) -> int:
        """Give what an amount counts now: what is left of an order, what a refund really took."""
        if self.order is not None:
            return self.order.left_minor
        if self.taken_minor is not None:
            return self.taken_minor
        return self.event["amount_minor"] or 0


# ---------------------------------------------------------------------------------------------- local days


def offset_ms(timezone: str, at_ms: int) -> int:
    """Tell how far local clocks are ahead of UTC at an instant."""
    local = (EPOCH + timedelta(milliseconds=min(at_ms, CALENDAR_MAX_MS))).astimezone(ZoneInfo(timezone))
    offset = local.utcoffset()
    assert offset is not None
    return offset.days * DAY_MS + offset.seconds * 1000


def local_date(timezone: str, at_ms: int) -> int:
    """Number the local date an instant's clocks show, 1970-01-01 being 0."""
    return (at_ms + offset_ms(timezone, at_ms)) // DAY_MS


@cache
def day_start_ms(timezone: str, day: int) -> int:
    """Find the first instant whose local date is `day` (or later, where clocks skipped the whole day)."""
    before = day * DAY_MS - 26 * 4 * QUARTER_HOUR_MS
    while local_date(timezone, before + QUARTER_HOUR_MS) < day:
        before += QUARTER_HOUR_MS
    after = before + QUARTER_HOUR_MS
    while after - before > 1:
        middle = (before + after) // 2
        if local_date(timezone, middle) < day:
            before = middle
        else:
            after = middle
    return after


@lru_cache(maxsize=100_000)
def local_day(timezone: str, at_ms: int) -> int:
    """Number an instant's local day: the newest that has started, also where clocks go back over midnight."""
    day = local_date(timezone, at_ms)
    while day_start_ms(timezone, day + 1) <= at_ms:
        day += 1
    return day


def bucket_end_ms(timezone: str, bucket_ms: int, at_ms: int) -> int:
    """Tell when the bucket that an instant falls into ends."""
    if bucket_ms % DAY_MS != 0:
        return (at_ms // bucket_ms + 1) * bucket_ms
    days = bucket_ms // DAY_MS
    return day_start_ms(timezone, (local_day(timezone, at_ms) // days + 1) * days)


def has_local_days(feature: Feature) -> bool:
    """Tell whether a feature counts in days of the policy's time zone."""
    return feature.kind == "active_days" or (feature.kind == "window" and feature.bucket_ms % DAY_MS == 0)


# ---------------------------------------------------------------------------------------------- where


def holds(policy: Policy, condition: Where, event: dict[str, Any]) -> bool:
    """Tell whether an event satisfies one condition."""
    value = condition_value(policy, condition.field, event)
    if condition.op == "present":
        return value is not None
    if condition.op == "absent":
        return value is None
    if value is None:
        return False
    if condition.op == "in":
        return value in condition.values
    assert not isinstance(value, str), condition
    if condition.minimum is not None and value < condition.minimum:
        return False
    return condition.maximum is None or value <= condition.maximum


def condition_value(policy: Policy, field: str, event: dict[str, Any]) -> str | float | None:
    """Read a field as conditions see it: amounts in major units, the item's age in seconds."""
    if field in ("amount", "discount_amount"):
        minor = event["amount_minor" if field == "amount" else "discount_minor"]
        return None if minor is None else minor / 10**policy.minor_digits
    if field == "item_launch_at":
        return event["item_launch_ms"]
    if field == "item_age":
        launch_ms = event["item_launch_ms"]
        return None if launch_ms is None else (event["event_time_ms"] - launch_ms) / 1000
    return event[field]


# ---------------------------------------------------------------------------------------------- features


class FeatureBook:
    """Compute any feature or score of one policy at any time from a history."""

    def __init__(self, policy: Policy, counted_from: dict[str, int]) -> None:
        """Take the number of the first applied event that each feature counts."""
        self.policy = policy
        self.counted_from = counted_from
        self.features = {feature.name: feature for feature in policy.features}
        self.scores = {score.name: score for score in policy.scores}

    def of_types(self, feature: Feature, types: Iterable[str], history: list[Applied]) -> list[Applied]:
        """List the events of some types since the feature exists; a fully refunded order was never placed."""
        return [
            applied
            for applied in history
            if applied.event["type"] in types
            and applied.number >= self.counted_from[feature.name]
            and not (applied.order is not None and applied.order.gone)
        ]

    def ending(self, feature: Feature, history: list[Applied]) -> list[Applied]:
        """List the events that end an age: also the orders that were remembered when the feature was new."""
        first = self.counted_from[feature.name]
        remembered = [
            applied
            for applied in history
            if applied.number < first
            and applied.event["type"] in feature.until
            and applied.order is not None
            and not applied.order.gone
            and applied.order.was_remembered(first)
        ]
        return remembered + self.of_types(feature, feature.until, history)

    def counted(self, feature: Feature, history: list[Applied]) -> list[Applied]:
        """List the events a feature counts."""
        return [
            applied
            for applied in self.of_types(feature, feature.events, history)
            if all(holds(self.policy, condition, applied.event) for condition in feature.where)
        ]

    def value(self, name: str, history: list[Applied], at_ms: int) -> float | None:
        """Compute a feature in its unit (major units of money, seconds); None while it is undefined."""
        feature = self.features[name]
        if feature.kind == "ratio":
            over, under = self.value(feature.over, history, at_ms), self.value(feature.under, history, at_ms)
            if over is None or under is None or under < feature.at_least:
                return None
            return over / under
        counted = self.counted(feature, history)
        if feature.kind == "decayed":
            return self.decayed(feature, counted, at_ms)
        if feature.kind == "since":
            return self.since(feature, counted, history, at_ms)
        if feature.kind == "active_days":
            today = local_day(self.policy.timezone, at_ms)
            days = {local_day(self.policy.timezone, applied.time_ms) for applied in counted}
            return float(sum(1 for day in days if today - feature.span_ms // DAY_MS < day <= today))
        if feature.kind == "window":
            counted = [
                applied
                for applied in counted
                if bucket_end_ms(self.policy.timezone, feature.bucket_ms, applied.time_ms)
                > at_ms - feature.span_ms
            ]
        if feature.of == "amount":
            return sum(applied.amount_minor for applied in counted) / 10**self.policy.minor_digits
        return float(len(counted))

    def decayed(self, feature: Feature, counted: list[Applied], at_ms: int) -> float:
        """Add up weight (times amount) x 2^(-age / half_life)."""
        weights = dict(zip(feature.events, feature.weights, strict=True))
        terms = []
        for applied in counted:
            points = weights[applied.event["type"]]
            if feature.of == "amount":
                points *= applied.amount_minor / 10**self.policy.minor_digits
            terms.append(points * 2.0 ** (-(at_ms - applied.time_ms) / feature.half_life_ms))
        return fsum(terms)

    def since(
        self, feature: Feature, counted: list[Applied], history: list[Applied], at_ms: int
    ) -> float | None:
        """Measure the seconds since the newest (or first) counted event, unless an `until` event is newer."""
        if not counted:
            return None
        times_ms = [applied.time_ms for applied in counted]
        chosen_ms = min(times_ms) if feature.first else max(times_ms)
        if any(applied.time_ms > chosen_ms for applied in self.ending(feature, history)):
            return None
        return (at_ms - chosen_ms) / 1000

    def leaving_ms(self, name: str, history: list[Applied]) -> set[int]:
        """List the instants at which something leaves a window or the active days: silence has no other."""
        feature = self.features[name]
        if feature.kind == "ratio":
            return self.leaving_ms(feature.over, history) | self.leaving_ms(feature.under, history)
        timezone = self.policy.timezone
        counted = self.counted(feature, history)
        if feature.kind == "window":
            return {
                bucket_end_ms(timezone, feature.bucket_ms, each.time_ms) + feature.span_ms for each in counted
            }
        if feature.kind == "active_days":
            span_days = feature.span_ms // DAY_MS
            return {day_start_ms(timezone, local_day(timezone, each.time_ms) + span_days) for each in counted}
        return set()

    # ------------------------------------------------------------------------------------------ scores

    def points(self, part: Part, value: float | None) -> float:
        """Read a piecewise-linear curve, flat beyond its ends; an undefined feature gives nothing."""
        if value is None:
            return 0.0
        x_left, y_left = part.curve[0]
        if value <= x_left:
            return y_left
        for x_right, y_right in part.curve[1:]:
            if value < x_right:
                return y_left + (value - x_left) * (y_right - y_left) / (x_right - x_left)
            x_left, y_left = x_right, y_right
        return y_left

    def why(self, name: str, history: list[Applied], at_ms: int) -> list[tuple[str, float | None, float]]:
        """List feature, value and points of every part of a score, in policy order."""
        parts = []
        for part in self.scores[name].parts:
            value = self.value(part.feature, history, at_ms)
            parts.append((part.feature, value, self.points(part, value)))
        return parts

    def score(self, name: str, history: list[Applied], at_ms: int) -> float:
        """Combine the points of the parts."""
        points = [points for _, _, points in self.why(name, history, at_ms)]
        return max(points) if self.scores[name].combine == "max" else fsum(points)

    def score_leaving_ms(self, name: str, history: list[Applied]) -> set[int]:
        """List the instants at which a score may step in silence."""
        return set().union(*(self.leaving_ms(part.feature, history) for part in self.scores[name].parts))
