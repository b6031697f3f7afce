"""The reference's falls against cases computed by hand. This file keeps it honest."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference_ladders import whole_second_ms
from tests.shop import HOUR, LINE, MINUTE, MINUTE_OF_BUYS, SECOND, T0, VIEWS, Shop, policy_of


def test_reference__grace_runs_from_the_first_second_below() -> None:
    """Below since one second after the half-life, due a grace later; being kept once starts it anew."""
    shop = Shop(policy_of({"views": VIEWS}, {"views": LINE}, grace="10m"))
    shop.tell("view", T0)
    assert shop.falls_at == HOUR + SECOND + 10 * MINUTE
    shop.tell("view", T0 + HOUR + 5 * MINUTE)
    assert shop.reference.users["u"].standings["tier"].below_since_ms is None
    assert shop.falls_at is not None
    assert shop.falls_at > 2 * HOUR


def test_reference__an_event_below_keep_at_does_not_restart_the_grace() -> None:
    """An event that does not lift the score over keep_at leaves below_since where it was."""
    weights = {"view": 40, "buy": 0.001}
    shop = Shop(policy_of({"views": VIEWS | {"weights": weights}}, {"views": LINE}, grace="10m"))
    shop.tell("view", T0)
    shop.tell("buy", T0 + HOUR + 5 * MINUTE)
    assert shop.falls_at == HOUR + SECOND + 10 * MINUTE


def test_reference__a_delayed_fall_is_due_at_a_whole_second() -> None:
    """Grace counts from the evaluation's millisecond and is rounded up; its cause is time."""
    shop = Shop(policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, rungs=(1,), grace="10s"))
    shop.tell("buy", T0 + 300, order_id="o")
    shop.tell("refund", T0 + 2300, order_id="o")
    assert shop.falls_at == 13 * SECOND
    shop.reference.fire(T0 + MINUTE)
    assert shop.changes[1:] == [("r1", "r0", "time", "00:00:13.000")]


def test_reference__a_fall_without_delay_happens_at_the_event() -> None:
    """With no grace, dwell and step limit a refund causes the fall itself, at its millisecond."""
    shop = Shop(policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, rungs=(1,)))
    shop.tell("buy", T0 + 300, order_id="o")
    shop.tell("refund", T0 + 2300, order_id="o")
    assert shop.changes == [
        ("r0", "r1", "event", "00:00:00.300"),
        ("r1", "r0", "refund", "00:00:02.300"),
    ]
    assert shop.reference.changes[1]["cause_event_id"] == "e2"
    assert shop.reference.changes[1]["previous_since"] == "2026-09-01T00:00:00.300Z"


def test_reference__with_a_step_limit_a_fall_waits_for_the_second() -> None:
    """A step limit alone makes the fall due at the first whole second."""
    policy = policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, (1,), max_steps_down=1, step_period="1h")
    shop = Shop(policy)
    shop.tell("buy", T0 + 300, order_id="o")
    shop.tell("refund", T0 + 2300, order_id="o")
    assert (shop.falls_at, len(shop.changes)) == (3 * SECOND, 1)
    on_the_second = Shop(policy)
    on_the_second.tell("buy", T0, order_id="o")
    on_the_second.tell("refund", T0 + 2 * SECOND, order_id="o")
    assert on_the_second.changes[1:] == [("r1", "r0", "refund", "00:00:02.000")]


def test_reference__min_dwell_keeps_a_rung() -> None:
    """A rung is kept until the first whole second after since + min_dwell."""
    shop = Shop(policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, rungs=(1,), min_dwell="1h"))
    shop.tell("buy", T0 + 1)
    assert shop.falls_at == HOUR + SECOND


def test_reference__steps_down_take_a_period_each_and_a_rise_clears_it() -> None:
    """At most one rung a period; after a rise the next fall waits no more."""
    policy = policy_of(
        {"buys": MINUTE_OF_BUYS}, {"buys": LINE}, (1, 2, 3), max_steps_down=1, step_period="1h"
    )
    shop = Shop(policy)
    for _ in range(3):
        shop.tell("buy", T0)
    shop.reference.fire(T0 + 90 * MINUTE)
    assert shop.changes[3:] == [
        ("r3", "r2", "time", "00:01:01.000"),
        ("r2", "r1", "time", "01:01:01.000"),
    ]
    assert shop.falls_at == 2 * HOUR + MINUTE + SECOND
    shop.tell("buy", T0 + 90 * MINUTE)
    assert shop.falls_at == 2 * HOUR + MINUTE + SECOND  # r1 is reached already: no rise.
    shop.tell("buy", T0 + 90 * MINUTE)
    assert shop.changes[5:] == [("r1", "r2", "event", "01:30:00.000")]
    assert shop.falls_at == 91 * MINUTE + SECOND


def test_reference__a_step_period_alone_parts_falls_of_any_size() -> None:
    """The second fall waits for the period after the first one, and then takes all rungs at once."""
    shop = Shop(policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, (1, 2, 3), margin=0, step_period="1h"))
    for at_ms in (T0, T0 + 30 * SECOND, T0 + 30 * SECOND):
        shop.tell("buy", at_ms)
    shop.reference.fire(T0 + 2 * HOUR)
    assert shop.changes[3:] == [
        ("r3", "r2", "time", "00:01:01.000"),
        ("r2", "r0", "time", "01:01:01.000"),
    ]


def test_reference__without_a_step_limit_a_fall_goes_to_the_kept_rung() -> None:
    """It skips rungs whose keep_at the score does not reach and stops at the one it reaches."""
    shop = Shop(policy_of({"buys": MINUTE_OF_BUYS}, {"buys": LINE}, rungs=(1, 2, 3), margin=0))
    shop.tell("buy", T0)
    for _ in range(2):
        shop.tell("buy", T0 - 10 * SECOND)
    shop.reference.fire(T0 + HOUR)
    assert shop.changes[3:] == [
        ("r3", "r1", "time", "00:00:51.000"),
        ("r1", "r0", "time", "00:01:01.000"),
    ]


def test_reference__a_ratio_that_rises_in_silence_clears_below_since() -> None:
    """Grace starts anew when a leaving bucket lifts the score for a while, but nothing rises in silence."""
    features = {
        "buys": MINUTE_OF_BUYS,
        "coupons": MINUTE_OF_BUYS | {"where": {"coupon_id": "present"}},
        "share": {"kind": "ratio", "over": "coupons", "under": "buys", "at_least": 1},
    }
    shop = Shop(policy_of(features, {"share": [[0, 0], [1, 100]]}, rungs=(60, 66), margin=0, grace="30s"))
    shop.tell("buy", T0)
    shop.tell("buy", T0 + 40 * SECOND, coupon_id="c")
    shop.tell("buy", T0 + 41 * SECOND, coupon_id="c")  # 2 of 3: r2.
    shop.tell("buy", T0 + 50 * SECOND)  # 2 of 4, below since here; at 0:61 the first leaves: 2 of 3 again.
    assert shop.falls_at == 131 * SECOND  # At 1:41 a coupon leaves, 1 of 2; at 1:51 there is nothing left.
    shop.reference.fire(T0 + HOUR)
    assert shop.changes[1:] == [("r2", "r0", "time", "00:02:11.000")]


def test_reference__a_fall_after_the_year_9999_is_none() -> None:
    """What decays too slowly never falls."""
    views = VIEWS | {"half_life": "36500d", "weights": {"view": 1e30}}
    shop = Shop(policy_of({"views": views}, {"views": [[0, 0], [1e30, 1e30]]}))
    shop.tell("view", T0)
    assert shop.falls_at is None
    assert "tier.falls_at_ms" not in (shop.reference.profile("u") or {})


@settings(max_examples=25, deadline=None)
@given(
    buys=st.lists(st.tuples(st.integers(0, 90_000), st.booleans()), min_size=1, max_size=8),
    grace_ms=st.sampled_from([0, 1500, 7000]),
    steps=st.sampled_from([0, 1]),
)
def test_reference__the_next_fall_is_what_looking_at_every_second_finds(
    buys: list[tuple[int, bool]], grace_ms: int, steps: int
) -> None:
    """Stretches and bisection are only a faster way to look at each second in turn."""
    features = {
        "buys": MINUTE_OF_BUYS,
        "coupons": MINUTE_OF_BUYS | {"where": {"coupon_id": "present"}},
        "share": {"kind": "ratio", "over": "coupons", "under": "buys", "at_least": 1},
        "heat": {"kind": "decayed", "half_life": "20s", "weights": {"buy": 10}},
    }
    curves = {"share": [[0, 0], [0.5, 30], [1, 10]], "heat": LINE}
    limits: dict[str, Any] = {"max_steps_down": 1, "step_period": "3s"} if steps else {}
    shop = Shop(policy_of(features, curves, rungs=(5, 20, 35), grace=f"{grace_ms}ms", **limits))
    for after_ms, with_coupon in sorted(buys):
        shop.tell("buy", T0 + after_ms, coupon_id="c" if with_coupon else None)

    user = shop.reference.users["u"]
    ladder = shop.reference.policy.ladders[0]
    standing = user.standings["tier"]
    keep_at = ladder.rungs[standing.rung].keep_at
    below_since_ms, found_ms = standing.below_since_ms, None
    for second_ms in range((user.as_of_ms // 1000 + 1) * 1000, user.as_of_ms + 300_000, 1000):
        if shop.reference.score("u", "value", second_ms) >= keep_at - 1e-9 * max(1.0, abs(keep_at)):
            below_since_ms = None
            continue
        below_since_ms = second_ms if below_since_ms is None else below_since_ms
        due_ms = below_since_ms + grace_ms
        if steps and standing.last_fall_ms is not None:
            due_ms = max(due_ms, standing.last_fall_ms + ladder.step_period_ms)
        if second_ms >= whole_second_ms(due_ms):
            found_ms = second_ms
            break
    assert shop.reference.next_fall("u", "tier") == found_ms
