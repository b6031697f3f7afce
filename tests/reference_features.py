"""This file computes features and scores of contract section 5 from a user's whole history, each time it grew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, wraps
from math import fsum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from scoring.policy import Feature, Part, Policy, Where

DAY_MS = 86_400_000
QUARTER_HOUR_MS = 900_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_LAST_SECOND_MS = (
    253_402_300_799_000  # The last whole second of year 9999; what falls later does not fall.
)
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


def reaches(score: float, threshold: float) -> bool:
    """Tell whether a score counts as having reached a threshold."""
    if threshold == float("-inf"):
        return True
    return score >= threshold - 1e-9 * max(1.0, abs(threshold))


Answer = TypeVar("Answer")


def once(compute: Callable[..., Answer]) -> Callable[..., Answer]:
    """
    Compute an answer of a book once, until it is asked about another history, or the history has grown.

    Nothing changes a history but one more event: what a refund takes from an order is known before it is added.
    """

    @wraps(compute)
    def answer(book: FeatureBook, name: str, history: list[Applied], *more: Any) -> Answer:
        if history is not book.asked_about or len(history) != book.asked_at_size:
            book.asked_about, book.asked_at_size, book.answers = history, len(history), {}
        question = (compute, name, *more)
        if question not in book.answers:
            book.answers[question] = compute(book, name, history, *more)
        return book.answers[question]

    return answer


class FeatureBook:
    """Compute any feature or score of one policy at any time from a history."""

    asked_about: list[Applied] | None = None
    asked_at_size: int
    answers: dict[Any, Any]

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

    @once
    def counted(self, name: str, history: list[Applied]) -> list[Applied]:
        """List the events a feature counts."""
        feature = self.features[name]
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
        if feature.kind == "decayed":
            return fsum(
                points * 2.0 ** (-(at_ms - time_ms) / feature.half_life_ms)
                for points, time_ms in self.decaying(name, history)
            )
        if feature.kind == "since":
            since_ms = self.since_ms(name, history)
            return None if since_ms is None else (at_ms - since_ms) / 1000
        counted = self.counted(name, history)
        if feature.kind == "active_days":
            today = local_day(self.policy.timezone, at_ms)
            days = {local_day(self.policy.timezone, applied.time_ms) for applied in counted}
            return float(sum(1 for day in days if today - feature.span_ms // DAY_MS < day <= today))
        if feature.kind == "window":
            counted = [applied for applied in counted if self.leaves_ms(feature, applied) > at_ms]
        if feature.of == "amount":
            return sum(applied.amount_minor for applied in counted) / 10**self.policy.minor_digits
        return float(len(counted))

    @once
    def decaying(self, name: str, history: list[Applied]) -> list[tuple[float, int]]:
        """List weight (times amount) and time of all that is added up, to be taken x 2^(-age / half_life)."""
        feature = self.features[name]
        weights = dict(zip(feature.events, feature.weights, strict=True))
        found = []
        for applied in self.counted(name, history):
            points = weights[applied.event["type"]]
            if feature.of == "amount":
                points *= applied.amount_minor / 10**self.policy.minor_digits
            found.append((points, applied.time_ms))
        return found

    @once
    def since_ms(self, name: str, history: list[Applied]) -> int | None:
        """Find when the newest (or first) counted event was, unless an `until` event is newer."""
        feature = self.features[name]
        times_ms = [applied.time_ms for applied in self.counted(name, history)]
        if not times_ms:
            return None
        chosen_ms = min(times_ms) if feature.first else max(times_ms)
        if any(applied.time_ms > chosen_ms for applied in self.ending(feature, history)):
            return None
        return chosen_ms

    def leaves_ms(self, feature: Feature, applied: Applied) -> int:
        """Tell when an event leaves a window: a span after the end of its bucket."""
        return bucket_end_ms(self.policy.timezone, feature.bucket_ms, applied.time_ms) + feature.span_ms

    @once
    def leaving_ms(self, name: str, history: list[Applied]) -> set[int]:
        """List the instants at which something leaves a window or the active days: silence has no other."""
        feature = self.features[name]
        if feature.kind == "ratio":
            return self.leaving_ms(feature.over, history) | self.leaving_ms(feature.under, history)
        timezone = self.policy.timezone
        counted = self.counted(name, history)
        if feature.kind == "window":
            return {self.leaves_ms(feature, each) for each in counted}
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

    @once
    def stretches_ms(self, name: str, history: list[Applied]) -> list[tuple[int, int]]:
        """
        Cut the silence after the newest event into stretches in which a score never rises.

        A score may step in silence only where something leaves a window or the active days. Returns the first
        and the last whole second of each stretch, in order.
        """
        first_ms = (max(applied.time_ms for applied in history) // 1000 + 1) * 1000
        steps_ms = set().union(*(self.leaving_ms(part.feature, history) for part in self.scores[name].parts))
        assert all(step_ms % 1000 == 0 for step_ms in steps_ms), steps_ms
        starts_ms = sorted({first_ms} | {step for step in steps_ms if first_ms < step <= TIME_LAST_SECOND_MS})
        ends_ms = [start_ms - 1000 for start_ms in starts_ms[1:]] + [TIME_LAST_SECOND_MS]
        return list(zip(starts_ms, ends_ms, strict=True))

    @once
    def first_below(
        self, name: str, history: list[Applied], threshold: float, start_ms: int, end_ms: int
    ) -> int:
        """Bisect a stretch in which a score never rises, and ends below a threshold, for the first second below."""
        if not reaches(self.score(name, history, start_ms), threshold):
            return start_ms
        ahead_ms = DAY_MS  # Most falls come within days.
        while start_ms + ahead_ms < end_ms and reaches(
            self.score(name, history, start_ms + ahead_ms), threshold
        ):
            start_ms, ahead_ms = start_ms + ahead_ms, 2 * ahead_ms
        end_ms = min(end_ms, start_ms + ahead_ms)
        while end_ms - start_ms > 1000:
            middle_ms = (start_ms + end_ms) // 2000 * 1000
            if reaches(self.score(name, history, middle_ms), threshold):
                start_ms = middle_ms
            else:
                end_ms = middle_ms
        return end_ms
