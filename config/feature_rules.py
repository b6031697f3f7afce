"""This file holds the rules of features: which events, which spans."""

from config.draft import Draft
from config.durations import format_duration
from config.problems import PathPart, unknown_name
from config.where_rules import read_where
from scoring.policy import (
    ACTIVE_DAYS_SPAN_MS,
    BUCKETS_MAX,
    DAY_MS,
    FEATURES_MAX,
    EventType,
    Feature,
)

Path = tuple[PathPart, ...]

RATIO_INPUTS = ("window", "total", "active_days")


def read_events(draft: Draft) -> tuple[EventType, ...]:
    """Answer the event types; none may place and undo an order at once."""
    events = []
    for name in draft.keys("events"):
        order = draft.value("events", name, "order", default=False)
        refund = draft.value("events", name, "refund", default=False)
        if order and refund:
            draft.report(("events", name), "is an order or a refund, it cannot be both")
        events.append(EventType(name, order, refund))
    return tuple(events)


def read_features(draft: Draft, events: tuple[EventType, ...]) -> tuple[Feature, ...]:
    """Answer the features whose kind is known."""
    read = (_read_feature(draft, name, events) for name in draft.keys("features"))
    features = tuple(feature for feature in read if feature is not None)
    if len(features) > FEATURES_MAX:
        draft.report(("features",), f"must be at most {FEATURES_MAX}, got {len(features)}")
    for feature in features:
        if feature.kind == "ratio":
            _check_ratio(draft, feature, features)
    return features


def _read_feature(draft: Draft, name: str, events: tuple[EventType, ...]) -> Feature | None:
    path: Path = ("features", name)
    kind = draft.value(*path, "kind")
    if kind is None:
        return None
    counted, weights = _events_and_weights(draft, path, kind)
    feature = Feature(
        name=name,
        kind=kind,
        of=draft.value(*path, "of", default="count"),
        events=counted,
        weights=weights,
        where=read_where(draft, path),
        half_life_ms=draft.duration_ms(*path, "half_life"),
        span_ms=draft.duration_ms(*path, "span"),
        bucket_ms=draft.duration_ms(*path, "bucket"),
        until=tuple(draft.value(*path, "until", default=())),
        first=draft.value(*path, "first", default=False),
        over=draft.value(*path, "over", default=""),
        under=draft.value(*path, "under", default=""),
        at_least=float(draft.value(*path, "at_least", default=0.0)),
    )
    _check_types(draft, path, feature, events)
    _check_times(draft, path, feature)
    return feature


def _events_and_weights(draft: Draft, path: Path, kind: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    weighted = kind == "decayed" and "weights" in draft.keys(*path)
    listed = "events" in draft.keys(*path)
    if kind == "decayed" and weighted == listed:
        rule = (
            "takes weights or events, not both" if weighted else "is missing: event type: weight, or events"
        )
        draft.report((*path, "events" if weighted else "weights"), rule)
    if weighted:
        weights = draft.value(*path, "weights", default={})
        return tuple(weights), tuple(float(weight) for weight in weights.values())
    events = tuple(draft.value(*path, "events", default=()))
    return events, (1.0,) * len(events)


def _check_types(draft: Draft, path: Path, feature: Feature, events: tuple[EventType, ...]) -> None:
    known = {event.name: event for event in events}
    weighted = "weights" in draft.keys(*path)
    for index, name in enumerate(feature.events):
        spot: Path = (*path, "weights", name) if weighted else (*path, "events", index)
        if name not in known:
            draft.report(spot, unknown_name("event type", name, known))
        elif feature.of == "amount" and known[name].refund:
            draft.report(spot, f"{name} is a refund: it takes its amount out of its order by itself")
    for index, name in enumerate(feature.until):
        if name not in known:
            draft.report((*path, "until", index), unknown_name("event type", name, known))


def _check_times(draft: Draft, path: Path, feature: Feature) -> None:
    for key, time_ms in (
        ("half_life", feature.half_life_ms),
        ("span", feature.span_ms),
        ("bucket", feature.bucket_ms),
    ):
        text = draft.value(*path, key)
        if text is None:
            continue
        if time_ms <= 0:
            draft.report((*path, key), f"must be above 0, got {text!r}")
        elif key != "half_life" and time_ms % 1000:
            draft.report((*path, key), f"must be whole seconds, got {text!r}")
    if feature.kind == "active_days" and (feature.span_ms % DAY_MS or feature.span_ms > ACTIVE_DAYS_SPAN_MS):
        draft.report(
            (*path, "span"), f"must be whole days, 1d to 64d, got {format_duration(feature.span_ms)}"
        )
    if feature.kind == "window" and feature.span_ms > 0 and feature.bucket_ms > 0:
        _check_buckets(draft, path, feature)


def _check_buckets(draft: Draft, path: Path, feature: Feature) -> None:
    span, bucket = format_duration(feature.span_ms), format_duration(feature.bucket_ms)
    if feature.span_ms < feature.bucket_ms:
        draft.report((*path, "span"), f"must be at least the bucket ({bucket}), got {span}")
    elif feature.span_ms > feature.bucket_ms * BUCKETS_MAX:
        count = -(-feature.span_ms // feature.bucket_ms)
        draft.report(
            (*path, "bucket"), f"a span holds at most {BUCKETS_MAX} buckets; {span} by {bucket} is {count}"
        )


def _check_ratio(draft: Draft, ratio: Feature, features: tuple[Feature, ...]) -> None:
    kind_of = {feature.name: feature.kind for feature in features}
    for key, name in (("over", ratio.over), ("under", ratio.under)):
        path = ("features", ratio.name, key)
        if not name:
            continue
        if name not in draft.keys("features"):
            draft.report(path, unknown_name("feature", name, (n for n in kind_of if n != ratio.name)))
        elif name in kind_of and kind_of[name] not in RATIO_INPUTS:
            # These change only when a bucket leaves, which is what gives a ratio its deadlines.
            draft.report(path, f"must be a window, total or active_days feature, {name} is {kind_of[name]}")
