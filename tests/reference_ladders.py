"""This file moves users on ladders by contract section 5: rises, falls and deadlines, second by second."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from scoring.policy import Ladder, Policy
from tests.reference_features import TIME_LAST_SECOND_MS, Applied, FeatureBook, Order, reaches


@dataclass
class Standing:
    """Where one user stands on one ladder, as of the user's time."""

    rung: int
    since_ms: int
    last_fall_ms: int | None = None
    below_since_ms: int | None = None


@dataclass
class User:
    """Everything about one user."""

    user_id: str
    first_seen_ms: int
    newest_ms: int
    as_of_ms: int
    seq: int = 0
    history: list[Applied] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    event_ids: list[tuple[str, int]] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)


def whole_second_ms(at_ms: int) -> int:
    """Round up to a whole second."""
    return -(-at_ms // 1000) * 1000


def rfc_3339(at_ms: int) -> str:
    """Write an instant as JSON shows it."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def rounded(number: float) -> float:
    """Keep at most 6 decimals and never a negative zero."""
    return round(number, 6) + 0.0


def decimal_text(number: float) -> str:
    """Write a number with at most 6 decimals, without exponent and trailing zeros."""
    return f"{rounded(number):.6f}".rstrip("0").rstrip(".")


class LadderRules(ABC):
    """Move users on ladders; whoever inherits says what a published change is."""

    policy: Policy
    book: FeatureBook
    users: dict[str, User]
    counters: Counter[str]

    @abstractmethod
    def _publish(
        self, user: User, ladder: Ladder, from_rung: str, from_rank: int, previous_since_ms: int, cause: str,
        cause_event_id: str | None,
    ) -> None:  # fmt: skip
        """Publish a move that has been made."""

    def _score(self, user: User, ladder: Ladder, at_ms: int) -> float:
        return self.book.score(ladder.score, user.history, at_ms)

    def _evaluate(self, user: User, ladder: Ladder, cause: str, cause_event_id: str) -> None:
        """Look at one ladder after an event: a rise at once, else the fall condition."""
        standing = user.standings[ladder.name]
        now_ms = user.as_of_ms
        rise_to = self._reached_above(user, ladder)
        if rise_to is not None:
            self._move(user, ladder, rise_to, cause, cause_event_id)
        elif not self._is_below(user, ladder, now_ms):
            standing.below_since_ms = None
        else:
            if standing.below_since_ms is None:
                standing.below_since_ms = now_ms
            delays = ladder.grace_ms, ladder.min_dwell_ms, ladder.max_steps_down, ladder.step_period_ms
            if not any(delays) or self._due_ms(ladder, standing, standing.below_since_ms) <= now_ms:
                self._move(user, ladder, self._fall_target(user, ladder), cause, cause_event_id)

    def _reached_above(self, user: User, ladder: Ladder) -> int | None:
        """Find the highest higher rung whose enter_at the score reaches."""
        score = self._score(user, ladder, user.as_of_ms)
        above = range(user.standings[ladder.name].rung + 1, len(ladder.rungs))
        return max((rung for rung in above if reaches(score, ladder.rungs[rung].enter_at)), default=None)

    def _fall_target(self, user: User, ladder: Ladder, limited: bool = True) -> int:
        """Find the highest lower rung whose keep_at the score reaches, within the step limit."""
        score = self._score(user, ladder, user.as_of_ms)
        rung = user.standings[ladder.name].rung
        kept = max(each for each in range(rung) if each == 0 or reaches(score, ladder.rungs[each].keep_at))
        return max(kept, rung - ladder.max_steps_down) if limited and ladder.max_steps_down > 0 else kept

    def _is_below(self, user: User, ladder: Ladder, at_ms: int) -> bool:
        """Tell whether the score is below the keep_at of the present rung at some time."""
        rung = user.standings[ladder.name].rung
        return rung > 0 and not reaches(self._score(user, ladder, at_ms), ladder.rungs[rung].keep_at)

    def _due_ms(self, ladder: Ladder, standing: Standing, below_since_ms: int) -> int:
        """Compute the first whole second at which grace, dwell and step period allow a fall."""
        limits_ms = [below_since_ms + ladder.grace_ms, standing.since_ms + ladder.min_dwell_ms]
        if standing.last_fall_ms is not None:
            limits_ms.append(standing.last_fall_ms + ladder.step_period_ms)
        return whole_second_ms(max(limits_ms))

    def _move(
        self, user: User, ladder: Ladder, to: int, cause: str, cause_event_id: str | None = None
    ) -> None:
        """Enter a rung at the user's time and publish it."""
        left = user.standings[ladder.name]
        now_ms = user.as_of_ms
        entered = Standing(to, now_ms, last_fall_ms=now_ms if to < left.rung else None)
        user.standings[ladder.name] = entered
        if self._is_below(user, ladder, now_ms):
            entered.below_since_ms = now_ms
        self._publish(
            user, ladder, ladder.rungs[left.rung].name, left.rung, left.since_ms, cause, cause_event_id
        )

    # ------------------------------------------------------------------------------------------ deadlines

    def _work_off(self, user: User, up_to_ms: int) -> None:
        """Make every fall that is due at a whole second up to and including a time, in order of time."""
        while True:
            falls_ms = {ladder.name: self._watch(user, ladder, up_to_ms)[1] for ladder in self.policy.ladders}
            first_ms = min((fall_ms for fall_ms in falls_ms.values() if fall_ms is not None), default=None)
            if first_ms is None:
                return
            self._move_time(user, first_ms)
            for ladder in self.policy.ladders:
                if falls_ms[ladder.name] == first_ms:
                    self.counters["deadlines_fired"] += 1
                    self._move(user, ladder, self._fall_target(user, ladder), "time")

    def _move_time(self, user: User, to_ms: int) -> None:
        """Move the user's time on in silence, noting since when each score is below keep_at."""
        for ladder in self.policy.ladders:
            user.standings[ladder.name].below_since_ms = self._watch(user, ladder, to_ms)[0]
        user.as_of_ms = to_ms

    def _watch(self, user: User, ladder: Ladder, up_to_ms: int) -> tuple[int | None, int | None]:
        """
        Follow one ladder in silence over the whole seconds after the user's time up to a time.

        Returns below_since at the end and the first second of a fall, each None when there is none.
        """
        standing = user.standings[ladder.name]
        below_since_ms = standing.below_since_ms
        if standing.rung == 0:
            return None, None
        keep_at = ladder.rungs[standing.rung].keep_at
        first_ms = (user.as_of_ms // 1000 + 1) * 1000
        last_ms = up_to_ms // 1000 * 1000
        for stretch_ms in self.book.stretches_ms(ladder.score, user.history):
            start_ms, end_ms = max(stretch_ms[0], first_ms), min(stretch_ms[1], last_ms)
            if end_ms < start_ms:
                continue
            if not self._is_below(user, ladder, end_ms):
                below_since_ms = None
                continue
            below_from_ms = self.book.first_below(ladder.score, user.history, keep_at, *stretch_ms)
            if below_from_ms > start_ms:
                below_since_ms = None
            below_from_ms = max(below_from_ms, start_ms)
            if below_since_ms is None:
                below_since_ms = below_from_ms
            fall_ms = max(below_from_ms, self._due_ms(ladder, standing, below_since_ms))
            if fall_ms <= end_ms:
                return below_since_ms, fall_ms
        return below_since_ms, None

    def next_fall(self, user_id: str, ladder_name: str) -> int | None:
        """Tell when the next fall is if nothing more happens; None when there is none before year 10000."""
        ladder = next(each for each in self.policy.ladders if each.name == ladder_name)
        return self._watch(self.users[user_id], ladder, TIME_LAST_SECOND_MS)[1]
