"""The reference's time, memory and outputs against cases worked by hand. This file keeps it honest."""

from __future__ import annotations

import json
from typing import Any

from tests.reference import ID_UNIT_MS, Reference
from tests.shop import DAY, HOUR, LINE, MINUTE, SECOND, T0, VIEWS, Shop, policy_of


def test_reference__deadlines_come_before_the_event() -> None:
    """A fall due before or at the event's own time is made first, then the event is applied."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("view", T0)
    shop.tell("view", T0 + HOUR + SECOND)
    assert shop.changes == [
        ("r0", "r1", "event", "00:00:00.000"),
        ("r1", "r0", "time", "01:00:01.000"),
        ("r0", "r1", "event", "01:00:01.000"),
    ]
    assert [change["seq"] for change in shop.reference.changes] == [1, 2, 3]


def test_reference__a_late_event_is_evaluated_at_as_of() -> None:
    """After a fired deadline an older event is evaluated at the deadline's time and corrects from its own."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("view", T0)
    shop.reference.fire(T0 + 2 * HOUR)
    shop.tell("view", T0 + 30 * MINUTE)
    shop.tell("view", T0 + HOUR)
    assert shop.changes[1:] == [
        ("r1", "r0", "time", "01:00:01.000"),
        ("r0", "r1", "event", "01:00:01.000"),
    ]
    profile = shop.reference.profile("u") or {}
    assert profile["as_of_ms"] == profile["tier.since_ms"] == str(T0 + HOUR + SECOND)
    assert profile["last_seen_ms"] == str(T0 + HOUR)


def test_reference__a_deadline_that_changes_nothing_does_not_move_as_of() -> None:
    """A sweep leaves the user's time alone unless a rung changes."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("view", T0)
    shop.reference.fire(T0 + HOUR)
    assert (shop.reference.profile("u") or {})["as_of_ms"] == str(T0)


def test_reference__the_watermark_is_the_one_before_the_event() -> None:
    """Deadlines fire up to the newest earlier event less out_of_orderness, whoever sent it."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}), out_of_orderness_ms=5000)
    shop.tell("view", T0)
    shop.tell("view", T0 + HOUR + 6 * SECOND, user_id="other")
    assert len(shop.changes) == 2  # The other user's own rise is all that happened.
    shop.tell("view", T0 + 1, type="unheard_of")
    assert shop.changes[2:] == [("r1", "r0", "time", "01:00:01.000")]


def test_reference__messages_of_the_lowest_mark_come_first() -> None:
    """The topic that is behind is read first, ties in the order of settings; ignored types move marks too."""
    reference = Reference(policy_of({"views": VIEWS}, {"views": LINE}), 2)

    def message(at_ms: int, kind: str = "view") -> tuple[int, bytes, int]:
        event = {"event_id": "e", "user_id": "u", "type": kind, "event_time": at_ms}
        return at_ms, json.dumps(event).encode(), T0 + 100

    topics = [
        [message(T0 + 5), message(T0 + 6, "other")],
        [message(T0 + 2), message(T0 + 5), message(T0 + 9)],
    ]
    order = [(topic, offset - T0) for topic, offset, _, _ in reference.order([list(each) for each in topics])]
    assert order == [(0, 5), (1, 2), (1, 5), (0, 6), (1, 9)]


def test_reference__an_event_may_be_as_late_as_allowed() -> None:
    """Equal is allowed, a millisecond more is too late; an id is remembered as long, up to the next 65.536 s."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}), allowed_lateness_ms=DAY)
    shop.tell("view", T0, event_id="a")
    shop.tell("view", T0 + DAY)
    shop.tell("view", T0, event_id="a")
    shop.tell("view", T0)
    shop.tell("view", T0 - 1)
    shop.tell("view", T0 + DAY + 1024)
    shop.tell("view", T0 + DAY, event_id="a")
    shop.tell("view", T0 + DAY + 1025)
    shop.tell("view", T0 + DAY, event_id="a")
    assert (T0 + 1024) % ID_UNIT_MS == 0
    counters = shop.reference.counters
    assert (counters["applied"], counters["duplicate"]) == (6, 2)
    assert shop.reference.dead_letters == [("too_late", 0, 5)]


def test_reference__a_bounded_memory_forgets_the_first_applied() -> None:
    """Past its bound, the id applied first may be applied again."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}), duplicates_per_user=2)
    for event_id in ("a", "b", "c", "c", "a"):
        shop.tell("view", T0, event_id=event_id)
    assert (shop.reference.counters["applied"], shop.reference.counters["duplicate"]) == (4, 1)
    assert shop.reference.counters["duplicates_evicted"] == 2


def test_reference__a_refund_takes_no_more_than_is_left() -> None:
    """Partial refunds add up; when nothing is left the order was never placed, yet it is remembered."""
    spend = {"kind": "total", "of": "amount", "events": ["buy"]}
    days = {"kind": "active_days", "events": ["buy"], "span": "7d"}
    shop = Shop(policy_of({"spend": spend, "days": days}, {"spend": LINE}))
    shop.tell("buy", T0, order_id="o", amount="10.00")
    shop.tell("refund", T0 + SECOND, order_id="o", amount="4.995")  # Half-even to 5.00.
    assert (shop.value("spend", T0), shop.value("days", T0)) == (5.0, 1.0)
    shop.tell("refund", T0 + SECOND, order_id="o", amount=7)
    shop.tell("refund", T0 + SECOND, order_id="o", amount=7)
    shop.tell("buy", T0 + SECOND, order_id="o")
    assert (shop.value("spend", T0), shop.value("days", T0)) == (0.0, 0.0)
    profile = shop.reference.profile("u") or {}
    assert (profile["orders"], profile["spend"]) == ("0", "0.00")
    counters = shop.reference.counters
    assert (counters["applied"], counters["duplicate"], counters["refund_excess"]) == (4, 1, 2)


def test_reference__orders_are_forgotten_by_age_and_by_number() -> None:
    """An order exactly as old as order_memory is known; the oldest leaves when two newer were placed."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}))
    shop.tell("buy", T0, order_id="o")
    shop.tell("refund", T0 + 10 * DAY, order_id="o", amount=1)
    shop.tell("refund", T0 + 10 * DAY + 1, order_id="o", amount=1)
    shop.tell("buy", T0 + 10 * DAY + 1, order_id="o")
    shop.tell("buy", T0 + 10 * DAY + 1, order_id="p")
    shop.tell("buy", T0 + 10 * DAY + 1, order_id="q")
    shop.tell("refund", T0 + 10 * DAY + 1, order_id="o", amount=1)
    assert shop.reference.dead_letters == [("unknown_order", 0, 3), ("unknown_order", 0, 7)]
    assert shop.reference.counters["orders_evicted"] == 2
    assert (shop.reference.profile("u") or {})["spend"] == "39.00"


def test_reference__a_profile_and_its_change_read_as_the_contract_says() -> None:
    """Every field of the hash, every key of the JSON, in its form."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}, rungs=(30, 100)))
    shop.tell("view", T0 + 1)
    assert shop.reference.profile("u") == {
        "tier": "r1", "tier.rank": "1", "tier.since_ms": str(T0 + 1), "tier.score": "40",
        "tier.next": "r2", "tier.to_next": "60", "tier.falls_at_ms": str(T0 + 5_095_000),
        "as_of_ms": str(T0 + 1), "seq": "1", "policy": "shop@1", "v": "1", "shard": "0",
        "first_seen_ms": str(T0 + 1), "last_seen_ms": str(T0 + 1), "orders": "0", "spend": "0.00", "tags": "",
    }  # fmt: skip
    assert shop.reference.changes == [
        {
            "user_id": "u", "seq": 1, "ladder": "tier",
            "from": "r0", "to": "r1", "from_rank": 0, "to_rank": 1,
            "direction": "up", "cause": "event", "cause_event_id": "e1", "score": 40.0,
            "effective_at": "2026-09-01T00:00:00.001Z", "previous_since": "2026-09-01T00:00:00.001Z",
            "next": {"rung": "r2", "points": 60.0}, "falls_at": "2026-09-01T01:24:55.000Z",
            "why": [{"feature": "views", "value": 40.0, "points": 40.0}], "policy": "shop@1",
        }
    ]  # fmt: skip
    assert shop.reference.audiences() == {"tier:r1": {"u"}}


def test_reference__a_new_policy_starts_new_features_empty_and_moves_at_once() -> None:
    """Kept features keep their history, new ones begin now; neither grace nor steps hold it up."""
    old = policy_of({"views": VIEWS}, {"views": LINE}, rungs=(10, 40))
    limits: dict[str, Any] = {"grace": "1d", "max_steps_down": 1, "step_period": "1d"}
    count = {"kind": "total", "events": ["view"]}
    new = policy_of({"views": VIEWS, "count": count}, {"views": LINE}, (100, 400), version=2, **limits)
    shop = Shop(old)
    shop.tell("view", T0)
    shop.reference.change_policy(new)
    assert shop.changes[1:] == [("r2", "r0", "policy", "00:00:00.000")]
    assert shop.reference.changes[1]["policy"] == "shop@2"
    assert (shop.value("views", T0), shop.value("count", T0)) == (40.0, 0.0)
    shop.tell("view", T0)
    assert (shop.value("views", T0), shop.value("count", T0)) == (80.0, 1.0)


def test_reference__a_new_policy_keeps_a_rung_by_its_name() -> None:
    """Between keep_at and enter_at of the new policy a rung is kept, and nothing is published."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}, rungs=(40,)))
    shop.tell("view", T0)
    shop.reference.change_policy(policy_of({"views": VIEWS}, {"views": LINE}, rungs=(60,), version=2))
    assert len(shop.changes) == 1
    assert (shop.reference.profile("u") or {})["tier"] == "r1"
    assert shop.falls_at == 1495 * SECOND  # 60 minutes x log2(40 / 30) and what is left of the second.
