"""This file is the whole tierwise in slow, obvious Python over dicts and lists: the specification that runs.

It follows contract sections 2 to 5 sentence by sentence, keeps every applied event and computes everything anew
when one comes. Decoding is in reference_decode.py, features and scores in reference_features.py, rises and falls
in reference_ladders.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from scoring.policy import Ladder, Policy
from tests import reference_decode
from tests.reference_decode import Refusal
from tests.reference_features import Applied, FeatureBook, Order, has_local_days
from tests.reference_ladders import LadderRules, Standing, User, decimal_text, rfc_3339, rounded

Message = tuple[int, bytes | None, int]  # offset, value, ingest_time_ms
ID_UNIT_MS = 65_536  # Ids are remembered up to the next whole one.


def newest(mark_ms: int | None, time_ms: int) -> int:
    """Raise a mark that may not exist yet."""
    return time_ms if mark_ms is None else max(mark_ms, time_ms)


class Reference(LadderRules):
    """One shard: apply messages one by one, then ask anything."""

    def __init__(
        self,
        policy: Policy,
        topics: int,
        partition: int = 0,
        allowed_lateness_ms: int = 3 * 86_400_000,
        future_tolerance_ms: int = 300_000,
        out_of_orderness_ms: int = 5_000,
        duplicates_per_user: int = 1024,
        event_bytes_max: int = 65_536,
    ) -> None:
        self.policy = policy
        self.partition = partition
        self.allowed_lateness_ms = allowed_lateness_ms
        self.future_tolerance_ms = future_tolerance_ms
        self.out_of_orderness_ms = out_of_orderness_ms
        self.duplicates_per_user = duplicates_per_user
        self.event_bytes_max = event_bytes_max
        self.users: dict[str, User] = {}
        self.marks: list[int | None] = [None] * topics
        self.fired_up_to_ms: int | None = None
        self.applied_events = 0
        self.book = FeatureBook(policy, {feature.name: 0 for feature in policy.features})
        self.changes: list[dict[str, Any]] = []
        self.dead_letters: list[tuple[str, int, int]] = []
        self.counters: Counter[str] = Counter(
            consumed=0, applied=0, duplicate=0, ignored=0, dead_lettered=0,
            duplicates_evicted=0, orders_evicted=0, refund_excess=0, deadlines_fired=0,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------ messages

    def decode(self, value: bytes | None, ingest_time_ms: int) -> dict[str, Any] | Refusal:
        """Decode one message to a dict, or to the reason and detail of its dead letter."""
        return reference_decode.decode(
            self.policy, value, ingest_time_ms, self.future_tolerance_ms, self.event_bytes_max
        )

    def order(self, messages_by_topic: list[list[Message]]) -> list[tuple[int, int, bytes | None, int]]:
        """Put messages of all topics in the order in which they are applied, each with its topic in front."""
        marks = list(self.marks)
        read = [0] * len(messages_by_topic)
        ordered: list[tuple[int, int, bytes | None, int]] = []
        while True:
            waiting = [
                topic for topic, messages in enumerate(messages_by_topic) if read[topic] < len(messages)
            ]
            if not waiting:
                return ordered
            topic = min(waiting, key=lambda topic: newest(marks[topic], -1))
            offset, value, ingest_time_ms = messages_by_topic[topic][read[topic]]
            read[topic] += 1
            ordered.append((topic, offset, value, ingest_time_ms))
            event = self.decode(value, ingest_time_ms)
            if isinstance(event, dict):
                marks[topic] = newest(marks[topic], event["event_time_ms"])

    def message(self, topic: int, offset: int, value: bytes | None, ingest_time_ms: int) -> None:
        """Apply one message; the caller decides the order."""
        self.counters["consumed"] += 1
        event = self.decode(value, ingest_time_ms)
        if not isinstance(event, dict):
            self._dead_letter(event[0], topic, offset)
            return
        watermark_before_ms = self.watermark_ms
        time_ms = event["event_time_ms"]
        self.marks[topic] = newest(self.marks[topic], time_ms)
        user = self.users.get(event["user_id"])
        if user is not None and watermark_before_ms is not None:
            self._work_off(user, watermark_before_ms)

        event_type = next((each for each in self.policy.events if each.name == event["type"]), None)
        if event_type is None:
            self.counters["ignored"] += 1
        elif user is not None and time_ms < user.newest_ms - self.allowed_lateness_ms:
            self._dead_letter("too_late", topic, offset)
        elif user is not None and self._is_duplicate(user, event, event_type.order):
            self.counters["duplicate"] += 1
        elif event_type.refund and (user is None or self._remembered(user, event) is None):
            self._dead_letter("unknown_order", topic, offset)
        else:
            self.counters["applied"] += 1
            self._apply(user, event, event_type.order, event_type.refund)

    def fire(self, watermark_ms: int) -> None:
        """Work off every user's deadlines up to a watermark, which never goes back."""
        self.fired_up_to_ms = newest(self.watermark_ms, watermark_ms)
        for user in self.users.values():
            self._work_off(user, self.fired_up_to_ms)

    @property
    def watermark_ms(self) -> int | None:
        """Give the lowest mark less `out_of_orderness`, or what was fired up to if that is later."""
        known = [] if self.fired_up_to_ms is None else [self.fired_up_to_ms]
        marks_ms = [mark for mark in self.marks if mark is not None]
        if len(marks_ms) == len(self.marks):
            known.append(min(marks_ms) - self.out_of_orderness_ms)
        return max(known, default=None)

    def _dead_letter(self, reason: str, topic: int, offset: int) -> None:
        self.counters["dead_lettered"] += 1
        self.dead_letters.append((reason, topic, offset))

    # ------------------------------------------------------------------------------------------ memory

    def _is_duplicate(self, user: User, event: dict[str, Any], is_order: bool) -> bool:
        """Tell whether the id, or for an order the order id, is remembered."""
        oldest_ms = user.newest_ms - self.allowed_lateness_ms
        user.event_ids = [one for one in user.event_ids if one[1] >= oldest_ms]
        if event["event_id"] in [event_id for event_id, _ in user.event_ids]:
            return True
        return is_order and self._remembered(user, event) is not None

    def _remembered(self, user: User, event: dict[str, Any]) -> Order | None:
        """Find the order an event names, if it is remembered at the event's time; a gone one is, too."""
        for order in reversed(user.orders):
            age_ms = event["event_time_ms"] - order.time_ms
            if order.order_id == event["order_id"] and age_ms <= self.policy.order_memory_ms:
                return order
        return None

    def _remember_event_id(self, user: User, event: dict[str, Any]) -> None:
        up_to_ms = -(-event["event_time_ms"] // ID_UNIT_MS) * ID_UNIT_MS
        user.event_ids.append((event["event_id"], up_to_ms))
        if len(user.event_ids) > self.duplicates_per_user:
            user.event_ids.pop(0)
            self.counters["duplicates_evicted"] += 1

    def _place(self, user: User, event: dict[str, Any]) -> Order:
        order = Order(event["order_id"], event["event_time_ms"], event["amount_minor"])
        user.orders.append(order)
        while len(user.orders) > self.policy.orders_per_user:
            user.orders.pop(0).forgotten_at = self.applied_events
            self.counters["orders_evicted"] += 1
        return order

    def _refund(self, user: User, event: dict[str, Any]) -> int:
        """Take the amount out of its order, never more than is left, and say how much that was."""
        order = self._remembered(user, event)
        assert order is not None
        taken_minor = min(order.left_minor, event["amount_minor"])
        if taken_minor < event["amount_minor"]:
            self.counters["refund_excess"] += 1
        order.left_minor -= taken_minor
        if order.left_minor == 0:
            order.gone = True
        return taken_minor

    # ------------------------------------------------------------------------------------------ evaluation

    def _apply(self, user: User | None, event: dict[str, Any], is_order: bool, is_refund: bool) -> None:
        """Apply one event: the user's deadlines up to its time first, then the event, then every ladder."""
        time_ms = event["event_time_ms"]
        if user is None:
            user = User(event["user_id"], first_seen_ms=time_ms, newest_ms=time_ms, as_of_ms=time_ms)
            user.standings = {ladder.name: Standing(0, time_ms) for ladder in self.policy.ladders}
            self.users[user.user_id] = user
        self._work_off(user, time_ms)
        self._move_time(user, max(user.as_of_ms, time_ms))

        applied = Applied(self.applied_events, event)
        self.applied_events += 1
        if is_order:
            applied.order = self._place(user, event)
        if is_refund:
            applied.taken_minor = self._refund(user, event)
        user.history.append(applied)
        self._remember_event_id(user, event)
        user.newest_ms = max(user.newest_ms, time_ms)

        cause = "refund" if is_refund else "event"
        for ladder in self.policy.ladders:
            self._evaluate(user, ladder, cause, event["event_id"])

    # ------------------------------------------------------------------------------------------ policy change

    def change_policy(self, policy: Policy) -> None:
        """Fire what is due under the old policy, then evaluate every user at its time under the new one."""
        if self.watermark_ms is not None:
            self.fire(self.watermark_ms)
        old, self.policy = self.policy, policy
        assert (old.name, old.currency) == (policy.name, policy.currency)
        for user in self.users.values():
            self._forget_unreachable(user, old.order_memory_ms)
        counted_from = {feature.name: self.applied_events for feature in policy.features}
        for feature in policy.features:
            if feature in old.features and (old.timezone == policy.timezone or not has_local_days(feature)):
                counted_from[feature.name] = self.book.counted_from[feature.name]
        self.book = FeatureBook(policy, counted_from)
        old_rungs = {ladder.name: [rung.name for rung in ladder.rungs] for ladder in old.ladders}
        for user in self.users.values():
            old_standings, user.standings = user.standings, {}
            for ladder in policy.ladders:
                self._carry_over(user, ladder, old_standings.get(ladder.name), old_rungs.get(ladder.name, []))

    def _forget_unreachable(self, user: User, order_memory_ms: int) -> None:
        """Forget the orders that no refund could reach under the old policy, whatever the new one allows."""
        oldest_ms = user.newest_ms - self.allowed_lateness_ms - order_memory_ms
        for order in user.orders:
            if order.time_ms < oldest_ms:
                order.forgotten_at = self.applied_events
        user.orders = [order for order in user.orders if order.forgotten_at is None]

    def _carry_over(self, user: User, ladder: Ladder, old: Standing | None, old_rungs: list[str]) -> None:
        """Stand the user on the rung of the same name, then move without grace, dwell or steps."""
        names = [rung.name for rung in ladder.rungs]
        if old is None:
            old, old_rungs = Standing(0, user.as_of_ms), names[:1]
        from_name, from_rank = old_rungs[old.rung], old.rung
        if from_name in names:
            from_rank = names.index(from_name)
        standing = Standing(
            names.index(from_name) if from_name in names else 0, old.since_ms, old.last_fall_ms
        )
        user.standings[ladder.name] = standing
        to = self._reached_above(user, ladder)
        if to is None and self._is_below(user, ladder, user.as_of_ms):
            to = self._fall_target(user, ladder, limited=False)
        if to is None:
            to = standing.rung
        if names[to] != from_name:
            fell = to < from_rank
            user.standings[ladder.name] = Standing(to, user.as_of_ms, user.as_of_ms if fell else None)
            self._publish(user, ladder, from_name, from_rank, old.since_ms, "policy", None)

    # ------------------------------------------------------------------------------------------ outputs

    def _publish(
        self, user: User, ladder: Ladder, from_rung: str, from_rank: int, previous_since_ms: int, cause: str,
        cause_event_id: str | None,
    ) -> None:  # fmt: skip
        """Number and keep one change, as the JSON of contract section 4."""
        user.seq += 1
        standing = user.standings[ladder.name]
        score = self._score(user, ladder, user.as_of_ms)
        change: dict[str, Any] = {
            "user_id": user.user_id,
            "seq": user.seq,
            "ladder": ladder.name,
            "from": from_rung,
            "to": ladder.rungs[standing.rung].name,
            "from_rank": from_rank,
            "to_rank": standing.rung,
            "direction": "up" if standing.rung > from_rank else "down",
            "cause": cause,
        }
        if cause_event_id is not None:
            change["cause_event_id"] = cause_event_id
        change["score"] = rounded(score)
        change["effective_at"] = rfc_3339(user.as_of_ms)
        change["previous_since"] = rfc_3339(previous_since_ms)
        if standing.rung + 1 < len(ladder.rungs):
            above = ladder.rungs[standing.rung + 1]
            change["next"] = {"rung": above.name, "points": rounded(max(0.0, above.enter_at - score))}
        falls_at_ms = self.next_fall(user.user_id, ladder.name)
        if falls_at_ms is not None:
            change["falls_at"] = rfc_3339(falls_at_ms)
        change["why"] = [
            {"feature": feature}
            | ({} if value is None else {"value": rounded(value)})
            | {"points": rounded(points)}
            for feature, value, points in self.book.why(ladder.score, user.history, user.as_of_ms)
        ]
        change["policy"] = self.policy.label
        self.changes.append(change)

    def profile(self, user_id: str) -> dict[str, str] | None:
        """Give the hash of one user, or None for an unknown one."""
        user = self.users.get(user_id)
        if user is None:
            return None
        standing_orders = [each for each in user.history if each.order is not None and not each.order.gone]
        spend_minor = sum(each.amount_minor for each in standing_orders)
        digits = self.policy.minor_digits
        major, minor = divmod(spend_minor, 10**digits)
        tags = [each.name for each in self.policy.ladders if each.tag and user.standings[each.name].rung == 1]
        fields = {
            "as_of_ms": str(user.as_of_ms),
            "seq": str(user.seq),
            "policy": self.policy.label,
            "v": "1",
            "shard": str(self.partition),
            "first_seen_ms": str(user.first_seen_ms),
            "last_seen_ms": str(user.newest_ms),
            "orders": str(len(standing_orders)),
            "spend": f"{major}.{minor:0{digits}d}" if digits else str(major),
            "tags": ",".join(sorted(tags)),
        }
        for ladder in self.policy.ladders:
            if not ladder.tag:
                fields |= self._ladder_fields(user, ladder)
        return fields

    def _ladder_fields(self, user: User, ladder: Ladder) -> dict[str, str]:
        """Give a ladder's fields of the profile, the scores as of the user's time."""
        standing = user.standings[ladder.name]
        score = self._score(user, ladder, user.as_of_ms)
        fields = {
            ladder.name: ladder.rungs[standing.rung].name,
            f"{ladder.name}.rank": str(standing.rung),
            f"{ladder.name}.since_ms": str(standing.since_ms),
            f"{ladder.name}.score": decimal_text(score),
        }
        if standing.rung + 1 < len(ladder.rungs):
            above = ladder.rungs[standing.rung + 1]
            fields[f"{ladder.name}.next"] = above.name
            fields[f"{ladder.name}.to_next"] = decimal_text(max(0.0, above.enter_at - score))
        falls_at_ms = self.next_fall(user.user_id, ladder.name)
        if falls_at_ms is not None:
            fields[f"{ladder.name}.falls_at_ms"] = str(falls_at_ms)
        return fields

    def audiences(self) -> dict[str, set[str]]:
        """Give every non-empty audience: `tier:gold` of a ladder, `cart_open:on` of a tag."""
        members: dict[str, set[str]] = {}
        for user in self.users.values():
            for ladder in self.policy.ladders:
                rung = user.standings[ladder.name].rung
                if not ladder.tag or rung == 1:
                    members.setdefault(f"{ladder.name}:{ladder.rungs[rung].name}", set()).add(user.user_id)
        return members

    def feature_value(self, user_id: str, feature: str, at_ms: int) -> float | None:
        """Compute one feature of a user at a time."""
        return self.book.value(feature, self.users[user_id].history, at_ms)

    def score(self, user_id: str, score: str, at_ms: int) -> float:
        """Compute one score of a user at a time."""
        return self.book.score(score, self.users[user_id].history, at_ms)
