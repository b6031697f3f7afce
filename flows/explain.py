"""This file prints `tierwise explain USER`: where a user stands, why, and what comes if nothing happens."""

import json
import sys
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError

from config.policy_file import parse_policy
from config.redis_rules import redacted_url
from config.settings import Settings
from flows.load import topics_of
from scoring.explain import LadderView, PartView, UserView, explain_user
from scoring.policy import Policy
from scoring.shard import Shard
from scoring.tables import compile_policy
from sinks.keyspace import decimal_text, points_rounded, points_text, time_text
from sinks.stored_row import StoredRow, read_stored_row

DONE, FAILED = 0, 1


def explain(settings: Settings, user_id: str, *, as_json: bool) -> int:
    """Print a user's standing on every ladder; answer the exit code."""
    try:
        stored = read_stored_row(settings.redis.url, settings.prefix, user_id)
    except RedisError as error:
        print(f"tierwise explain: {redacted_url(settings.redis.url)}: {error}", file=sys.stderr)
        return FAILED
    if stored is None:
        print(
            f"tierwise explain: no user {user_id!r} under the prefix {settings.prefix!r}: "
            "none of their events has been scored",
            file=sys.stderr,
        )
        return FAILED
    policy = parse_policy(stored.policy, f"the policy of shard {stored.partition:02d}")
    view = _view(settings, policy, user_id, stored)
    if as_json:
        print(json.dumps(document(view, policy, stored.partition), ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines(view, policy, stored.partition)))
    return DONE


def _view(settings: Settings, policy: Policy, user_id: str, stored: StoredRow) -> UserView:
    topics = topics_of(stored.layout)
    compiled = compile_policy(policy, len(topics), settings.allowed_lateness_ms, settings.duplicates_per_user)
    shard = Shard(compiled, stored.partition, topics, settings.watermark.out_of_orderness_ms)
    shard.restore([user_id.encode()], [stored.row])
    return explain_user(shard, user_id.encode())


def document(view: UserView, policy: Policy, partition: int) -> dict[str, Any]:
    """Say everything as plain values; what does not apply is absent."""
    return {
        "user_id": view.user_id,
        "policy": f"{policy.name}@{policy.version}",
        "shard": partition,
        "as_of": time_text(view.as_of_ms),
        "first_seen": time_text(view.first_seen_ms),
        "seq": view.seq,
        "orders": view.orders,
        "spend": decimal_text(view.spend_minor, policy.minor_digits),
        "ladders": {one.ladder: _ladder_document(one) for one in view.ladders if not one.tag},
        "tags": {one.ladder: _ladder_document(one) for one in view.ladders if one.tag},
    }


def _ladder_document(ladder: LadderView) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rung": ladder.rung,
        "rank": ladder.rank,
        "since": time_text(ladder.since_ms),
        "score": points_rounded(ladder.score),
        "parts": [_part_document(part) for part in ladder.parts],
    }
    if ladder.next_rung is not None and ladder.to_next is not None:
        found["next"] = {"rung": ladder.next_rung, "points": points_rounded(ladder.to_next)}
    if ladder.falls_at_ms is not None:
        found["falls_at"] = time_text(ladder.falls_at_ms)
        found["falls_to"] = ladder.falls_to
    return found


def _part_document(part: PartView) -> dict[str, Any]:
    found: dict[str, Any] = {"feature": part.feature, "points": points_rounded(part.points)}
    if part.value is not None:
        found["value"] = points_rounded(part.value)
    if part.points_at_fall is not None:
        found["points_at_fall"] = points_rounded(part.points_at_fall)
    return found


def lines(view: UserView, policy: Policy, partition: int) -> list[str]:
    """Say everything in words, ladders first, then tags."""
    spend = decimal_text(view.spend_minor, policy.minor_digits)
    told = [
        f"{view.user_id}  as of {time_text(view.as_of_ms)}",
        f"  policy {policy.name}@{policy.version}, shard {partition:02d}",
        f"  known since {time_text(view.first_seen_ms)}: {view.orders} orders, {spend} {policy.currency}, "
        f"{view.seq} changes so far",
    ]
    ages = {feature.name for feature in policy.features if feature.kind == "since"}
    keep_at = {ladder.name: [rung.keep_at for rung in ladder.rungs] for ladder in policy.ladders}
    for ladder in sorted(view.ladders, key=lambda one: one.tag):
        told += [
            "",
            *_ladder_lines(ladder, ages),
            f"  {_outlook(ladder, keep_at[ladder.ladder][ladder.rank])}",
        ]
    return told


def _ladder_lines(ladder: LadderView, ages: set[str]) -> list[str]:
    kind = "tag " if ladder.tag else ""
    told = [
        f"{kind}{ladder.ladder}: {ladder.rung} since {time_text(ladder.since_ms)}, "
        f"score {points_text(ladder.score)}"
    ]
    width = max(len(part.feature) for part in ladder.parts)
    for part in ladder.parts:
        value = _value_text(part.value, part.feature in ages)
        told.append(f"  {part.feature:<{width}}  {value:>16}  gives {points_text(part.points):>12} points")
    if ladder.next_rung is not None and ladder.to_next is not None:
        told.append(f"  {points_text(ladder.to_next)} points are missing to {ladder.next_rung}")
    return told


def _value_text(value: float | None, is_age: bool) -> str:
    if value is None:
        return "undefined"
    return str(timedelta(seconds=round(value))) if is_age else points_text(value)


def _outlook(ladder: LadderView, keep_at: float) -> str:
    if ladder.falls_at_ms is None:
        return "no fall ahead if nothing happens"
    told = (
        f"falls to {ladder.falls_to} at {time_text(ladder.falls_at_ms)} if nothing happens, "
        f"being below {points_text(keep_at)} points then"
    )
    reasons = [
        f"{part.feature} {points_text(part.points)} -> {points_text(part.points_at_fall)} points"
        for part in ladder.parts
        if part.points_at_fall is not None
        and points_rounded(part.points_at_fall) != points_rounded(part.points)
    ]
    return f"{told}: {', '.join(reasons)}" if reasons else told
