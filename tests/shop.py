"""One user's shop on the reference, told event after event. This file serves the tests of the reference."""

from __future__ import annotations

import json
from typing import Any

from config.policy_file import parse_policy
from scoring.policy import Policy
from tests.reference import Reference

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
T0 = 1_788_220_800_000  # 2026-09-01T00:00:00Z, which is 08:00 in Shanghai.

LINE = [[0, 0], [1000, 1000]]
VIEWS = {"kind": "decayed", "half_life": "1h", "weights": {"view": 40}}
MINUTE_OF_BUYS = {"kind": "window", "of": "count", "events": ["buy"], "span": "60s", "bucket": "1s"}


def policy_of(
    features: dict[str, Any],
    curves: dict[str, Any],
    rungs: tuple[float, ...] = (40,),
    timezone: str = "UTC",
    version: int = 1,
    **ladder: Any,
) -> Policy:
    """Write a policy with one score and one ladder `tier` of the rungs r0, r1, ..."""
    entered = [{"name": f"r{rank}", "enter_at": enter_at} for rank, enter_at in enumerate(rungs, start=1)]
    document = {
        "policy": "shop",
        "version": version,
        "currency": "CNY",
        "timezone": timezone,
        "order_memory": "10d",
        "orders_per_user": 2,
        "events": {"view": {}, "buy": {"order": True}, "refund": {"refund": True}},
        "features": features,
        "scores": {"value": {"parts": curves}},
        "ladders": {"tier": {"margin": 0.5, **ladder, "score": "value", "rungs": [{"name": "r0"}, *entered]}},
    }
    return parse_policy(document, "test")


class Shop:
    """One user of a reference shard with one topic, told event after event."""

    def __init__(self, policy: Policy, **limits: int) -> None:
        self.reference = Reference(policy, 1, **limits)
        self.count = 0

    def tell(self, kind: str, at_ms: int, **fields: Any) -> None:
        """Apply one event of the user u; its id is `e1`, `e2`, ... unless given."""
        self.count += 1
        event = {"event_id": f"e{self.count}", "user_id": "u", "type": kind, "event_time": at_ms} | fields
        if kind != "view":
            event = {"order_id": f"o{self.count}", "amount": 10} | event
        self.reference.message(0, self.count, json.dumps(event).encode(), at_ms)

    def value(self, feature: str, at_ms: int) -> float | None:
        """Ask for one feature."""
        return self.reference.feature_value("u", feature, at_ms)

    @property
    def falls_at(self) -> int | None:
        """Ask for the next fall, in ms since T0."""
        fall_ms = self.reference.next_fall("u", "tier")
        return None if fall_ms is None else fall_ms - T0

    @property
    def changes(self) -> list[tuple[str, str, str, str]]:
        """List from, to, cause and the time of day of all changes."""
        return [
            (change["from"], change["to"], change["cause"], change["effective_at"][11:-1])
            for change in self.reference.changes
        ]
