"""What the demo knows, and what it says about a change. This file holds no screen and no connection."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from flows.dev.change_feed import Change
from scoring.policy import Ladder

LATEST_COUNT = 14
MOVES_REMEMBERED = 400
RATE_SPAN_S = 3.0
PARTS_NAMED = 3


@dataclass
class DemoState:
    """
    Everything the view shows.

    Attributes:
        ladders: of the policy, tags last; risers and fallers are those of the first.
        expected: messages to come in all, None when nobody knows.
        sent: messages the broker has confirmed; scored: messages the worker has taken in and committed.
        rungs: users on each rung, by ladder name.
        counters: what else the worker counts, by metric name.
    """

    ladders: tuple[Ladder, ...]
    expected: int | None = None
    elapsed_s: float = 0.0
    sent: int = 0
    scored: int = 0
    worker_is_up: bool = False
    rungs: dict[str, list[int]] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    changes: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    latest: deque[Change] = field(default_factory=lambda: deque(maxlen=LATEST_COUNT))
    first_tier_change: tuple[float, Change] | None = None
    _moves: deque[Change] = field(default_factory=lambda: deque(maxlen=MOVES_REMEMBERED))
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def lag(self) -> int:
        """Count the messages that are in the broker and not yet scored."""
        return max(0, self.sent - self.scored)

    @property
    def rate(self) -> float:
        """Give the messages scored a second, over the last seconds."""
        if len(self._samples) < 2:
            return 0.0
        (since_s, before), (now_s, now) = self._samples[0], self._samples[-1]
        return (now - before) / max(now_s - since_s, 1e-9)

    @property
    def story_time(self) -> str:
        """Give the day the latest change took effect."""
        return self.latest[-1].effective_at[:10] if self.latest else ""

    @property
    def newsworthy(self) -> Change | None:
        """Give the latest change of the first ladder, or of any while it has none."""
        return self._moves[-1] if self._moves else self.latest[-1] if self.latest else None

    def saw_progress(self, elapsed_s: float, sent: int, scored: int) -> None:
        """Note how far sender and worker are."""
        self.elapsed_s, self.sent, self.scored = elapsed_s, sent, scored
        self._samples.append((elapsed_s, scored))
        while self._samples[0][0] < elapsed_s - RATE_SPAN_S:
            self._samples.popleft()

    def saw_changes(self, changes: Iterable[Change]) -> None:
        """Take in changes in the order they were read."""
        for change in changes:
            self.changes += 1
            self.causes[change.cause] += 1
            self.latest.append(change)
            if change.ladder == self.ladders[0].name and change.to_rank is not None:
                self._moves.append(change)
                self.first_tier_change = self.first_tier_change or (self.elapsed_s, change)

    def movers(self, count: int) -> tuple[list[str], list[str]]:
        """Name the biggest risers and fallers of the first ladder among its latest changes."""
        start: dict[str, Change] = {}
        last: dict[str, Change] = {}
        for change in self._moves:
            start.setdefault(change.user_id, change)
            last[change.user_id] = change
        climbs = {user: (last[user].to_rank or 0) - start[user].from_rank for user in last}
        ranked = sorted(last.values(), key=lambda change: (climbs[change.user_id], change.score))

        def line(change: Change) -> str:
            origin = start[change.user_id].from_rung
            return f"{change.user_id}  {origin} -> {change.to_rung}  {change.score:.1f}"

        risers = [line(change) for change in reversed(ranked[-count:]) if climbs[change.user_id] > 0]
        fallers = [line(change) for change in ranked[:count] if climbs[change.user_id] < 0]
        return risers, fallers


def sentence(change: Change) -> str:
    """Tell one change and its reason in a line."""
    return f"{_move(change)} {_because(change)}: {_points(change)}"


def _move(change: Change) -> str:
    if change.to_rung is None:
        return f"{change.user_id} left {change.ladder}"
    if (change.from_rung, change.to_rung) == ("off", "on"):
        return f"{change.user_id} got the tag {change.ladder}"
    if (change.from_rung, change.to_rung) == ("on", "off"):
        return f"{change.user_id} lost the tag {change.ladder}"
    verb = "rose" if change.direction == "up" else "fell"
    return f"{change.user_id} {verb} {change.ladder} {change.from_rung} -> {change.to_rung}"


def _because(change: Change) -> str:
    match change.cause:
        case "time":
            return f"because time passed (on {change.effective_at[:10]})"
        case "refund":
            return f"because of refund {change.cause_event_id}"
        case "event":
            kind = "order " if (change.cause_event_id or "").startswith("ord-") else ""
            return f"because of {kind}{change.cause_event_id}"
        case cause:
            return f"because of {cause}"


def _points(change: Change) -> str:
    parts = sorted((part for part in change.why if part.points > 0), key=lambda part: -part.points)
    named = [f"{part.feature} {part.points:.1f}" for part in parts[:PARTS_NAMED]]
    if len(parts) > PARTS_NAMED:
        named.append("...")
    adds_up = abs(sum(part.points for part in parts) - change.score) < 1e-3
    return (" + " if adds_up else ", ").join(named) or f"score {change.score:g}"
