"""This file holds how a policy is read and written: YAML or a stored document to Policy, and back."""

import zoneinfo
from pathlib import Path
from typing import Any

from config.currencies import MINOR_DIGITS
from config.draft import Draft
from config.durations import format_duration
from config.feature_rules import read_events, read_features
from config.ladder_rules import read_ladders, read_scores
from config.problems import ConfigError, Problem, suggestion
from config.yaml_file import read_file
from scoring.policy import DAY_MS, Feature, Ladder, Policy, Where

TIMEZONE_DEFAULT = "UTC"
ORDER_MEMORY_MS_DEFAULT = 180 * DAY_MS
ORDERS_PER_USER_DEFAULT = 64


class PolicyError(ConfigError):
    """Refuse a policy, with every problem it has."""


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises PolicyError with all of its problems at once."""
    document, problems = read_file(path)
    if problems and not document:
        raise PolicyError(str(path), problems)
    return _parse(document, str(path), problems)


def parse_policy(document: dict[str, Any], source: str) -> Policy:
    """Read a policy from plain values, such as a stored document; `source` names it in errors."""
    return _parse(document, source, [])


def _parse(document: dict[str, Any], source: str, problems: list[Problem]) -> Policy:
    draft = Draft(document, "policy")
    events = read_events(draft)
    features = read_features(draft, events)
    policy = Policy(
        name=draft.value("policy", default=""),
        version=int(draft.value("version", default=0)),
        currency=draft.value("currency", default=""),
        minor_digits=_read_minor_digits(draft),
        timezone=_read_timezone(draft),
        events=events,
        features=features,
        scores=read_scores(draft, features),
        ladders=read_ladders(draft),
        order_memory_ms=draft.duration_ms("order_memory", default=ORDER_MEMORY_MS_DEFAULT),
        orders_per_user=int(draft.value("orders_per_user", default=ORDERS_PER_USER_DEFAULT)),
    )
    problems = [*problems, *draft.problems]
    if problems:
        raise PolicyError(source, problems)
    return policy


def _read_minor_digits(draft: Draft) -> int:
    currency = draft.value("currency")
    if currency is not None and currency not in MINOR_DIGITS:
        near = suggestion(currency.upper(), MINOR_DIGITS)
        draft.report(("currency",), f"no currency of ISO 4217 has the code {currency!r}{near}")
    return MINOR_DIGITS.get(currency, 2)


def _read_timezone(draft: Draft) -> str:
    name: str = draft.value("timezone", default=TIMEZONE_DEFAULT)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = suggestion(name, zoneinfo.available_timezones())
        draft.report(("timezone",), f"no IANA time zone is named {name!r}{near}")
    return name


def policy_to_document(policy: Policy) -> dict[str, Any]:
    """
    Write a policy as the plain values parse_policy reads, fit for JSON.

    Margins are resolved: every rung says its keep_at.
    """
    return {
        "policy": policy.name,
        "version": policy.version,
        "currency": policy.currency,
        "timezone": policy.timezone,
        "order_memory": format_duration(policy.order_memory_ms),
        "orders_per_user": policy.orders_per_user,
        "events": {e.name: _without_defaults(order=e.order, refund=e.refund) for e in policy.events},
        "features": {feature.name: _feature_document(feature) for feature in policy.features},
        "scores": {
            score.name: {
                "combine": score.combine,
                "parts": {part.feature: [list(point) for point in part.curve] for part in score.parts},
            }
            for score in policy.scores
        },
        "ladders": {ladder.name: _ladder_document(ladder) for ladder in policy.ladders if not ladder.tag},
        "tags": {ladder.name: _tag_document(ladder) for ladder in policy.ladders if ladder.tag},
    }


def _without_defaults(**keys: Any) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value}


def _feature_document(feature: Feature) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": feature.kind}
    if feature.kind == "ratio":
        return document | {"over": feature.over, "under": feature.under, "at_least": feature.at_least}
    if feature.kind == "decayed":
        document["weights"] = dict(zip(feature.events, feature.weights, strict=True))
    else:
        document["events"] = list(feature.events)
    if feature.kind in ("decayed", "window", "total"):
        document["of"] = feature.of
    for key, time_ms in (
        ("half_life", feature.half_life_ms),
        ("span", feature.span_ms),
        ("bucket", feature.bucket_ms),
    ):
        if time_ms:
            document[key] = format_duration(time_ms)
    return document | _without_defaults(
        until=list(feature.until),
        first=feature.first,
        where={where.field: _where_document(where) for where in feature.where},
    )


def _where_document(where: Where) -> Any:
    if where.op == "in":
        return list(where.values)
    if where.op == "between":
        ends = {"min": where.minimum, "max": where.maximum}
        return {key: end for key, end in ends.items() if end is not None}
    return where.op


def _ladder_document(ladder: Ladder) -> dict[str, Any]:
    rungs: list[dict[str, Any]] = [{"name": ladder.rungs[0].name}]
    rungs += [{"name": r.name, "enter_at": r.enter_at, "keep_at": r.keep_at} for r in ladder.rungs[1:]]
    return {
        "score": ladder.score,
        "grace": format_duration(ladder.grace_ms),
        "min_dwell": format_duration(ladder.min_dwell_ms),
        "max_steps_down": ladder.max_steps_down,
        "step_period": format_duration(ladder.step_period_ms),
        "rungs": rungs,
    }


def _tag_document(tag: Ladder) -> dict[str, Any]:
    return {
        "score": tag.score,
        "enter_at": tag.rungs[1].enter_at,
        "keep_at": tag.rungs[1].keep_at,
        "grace": format_duration(tag.grace_ms),
        "min_dwell": format_duration(tag.min_dwell_ms),
    }
