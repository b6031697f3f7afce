"""The work of every peer in Python, event by event, as benchmarks/job.yaml says. This file needs Python alone."""

import json
from datetime import datetime
from typing import Any

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SHANGHAI_MS = 8 * HOUR_MS
HALF_LIFE_MS = 30 * DAY_MS
WEIGHTS = {"page_view": 1.0, "add_to_cart": 5.0, "order_paid": 20.0}
HOURS, DAYS = 25, 31
"""24 and 30 whole buckets, and one more: a window holds the one it leaves as well as the one it enters."""
TIERS = ("bronze", "silver", "gold", "platinum")
ENTER_AT = (0.0, 20.0 - 20e-9, 50.0 - 50e-9, 80.0 - 80e-9)
KEEP_AT = (0.0, 16.0 - 16e-9, 40.0 - 40e-9, 64.0 - 64e-9)


class User:
    """What is known of one user; `spend` and `days` in cents, times in Unix milliseconds."""

    __slots__ = ("activity", "at_ms", "days", "hours", "rung", "score", "spend", "views")

    def __init__(self) -> None:
        self.activity = self.score = 0.0
        self.at_ms = self.views = self.spend = self.rung = 0
        self.hours = [0] * HOURS
        self.days = [0] * DAYS

    def packed(self) -> list[Any]:
        """Answer all there is as a list, for engines that store what they are given as JSON or pickle."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def unpacked(cls, values: list[Any] | None) -> "User":
        """Make the user that was packed; a new one of None."""
        user = cls()
        for name, value in zip(cls.__slots__, values or (), strict=False):
            setattr(user, name, value)
        return user

    def apply(self, kind: str, at_ms: int, cents: int) -> int:
        """Take one event; answer the rung before it."""
        if at_ms >= self.at_ms:
            self._advance(at_ms)
            self.activity += WEIGHTS[kind]
        else:
            self.activity += WEIGHTS[kind] * 2.0 ** ((at_ms - self.at_ms) / HALF_LIFE_MS)
        if kind == "page_view":
            hour = at_ms // HOUR_MS
            if hour > self.at_ms // HOUR_MS - HOURS:
                self.hours[hour % HOURS] += 1
                self.views += 1
        elif kind == "order_paid":
            day = (at_ms + SHANGHAI_MS) // DAY_MS
            if day > (self.at_ms + SHANGHAI_MS) // DAY_MS - DAYS:
                self.days[day % DAYS] += cents
                self.spend += cents
        before = self.rung
        self._judge()
        return before

    def _advance(self, at_ms: int) -> None:
        """Let time pass: decay, and empty the buckets that are entered."""
        old_ms, self.at_ms = self.at_ms, at_ms
        if not old_ms:
            return
        self.activity *= 2.0 ** ((old_ms - at_ms) / HALF_LIFE_MS)
        old, new = old_ms // HOUR_MS, at_ms // HOUR_MS
        if old != new:
            for hour in range(max(old + 1, new - HOURS + 1), new + 1):
                self.views -= self.hours[hour % HOURS]
                self.hours[hour % HOURS] = 0
        old, new = (old_ms + SHANGHAI_MS) // DAY_MS, (at_ms + SHANGHAI_MS) // DAY_MS
        if old != new:
            for day in range(max(old + 1, new - DAYS + 1), new + 1):
                self.spend -= self.days[day % DAYS]
                self.days[day % DAYS] = 0

    def _judge(self) -> None:
        """Turn the features into points, and the points into a rung."""
        activity, views, spend = self.activity, self.views, self.spend / 100
        score = activity * 0.4 if activity < 50 else min(20 + (activity - 50) * (20 / 450), 40.0)
        score += min(views * 0.2, 10.0)
        score += spend * 0.03 if spend < 1000 else min(30 + (spend - 1000) * (20 / 19_000), 50.0)
        self.score = score
        rung = self.rung
        while rung < 3 and score >= ENTER_AT[rung + 1]:
            rung += 1
        while score < KEEP_AT[rung]:
            rung -= 1
        self.rung = rung

    def profile(self) -> dict[str, str]:
        """Answer the fields of the hash in Redis."""
        return {
            "tier": TIERS[self.rung],
            "score": f"{self.score:.6f}",
            "spend": f"{self.spend / 100:.2f}",
        }

    def change(self, user_id: str, before: int) -> dict[str, Any]:
        """Answer the message about a change of tier."""
        return {
            "user_id": user_id,
            "from": TIERS[before],
            "to": TIERS[self.rung],
            "score": self.score,
            "at_ms": self.at_ms,
        }


def parsed(event: dict[str, Any]) -> tuple[str, str, int, int]:
    """Answer user, kind, time and cents of an event that json has read."""
    at_ms = round(datetime.fromisoformat(event["event_time"]).timestamp() * 1000)
    return event["user_id"], event["type"], at_ms, round(float(event.get("amount", 0)) * 100)


def as_json(change: dict[str, Any]) -> bytes:
    """Write a change as it goes to its topic."""
    return json.dumps(change).encode()
