"""How a policy file is read and stored."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from config.policy_file import load_policy, parse_policy, policy_to_document
from scoring.policy import DAY_MS, Policy, Rung, Where
from tests.unit.policy_documents import DOCUMENT, TEXT, changed, write

REPOSITORY = Path(__file__).resolve().parents[2]


def feature(policy: Policy, name: str) -> Any:
    return next(each for each in policy.features if each.name == name)


def test_policy__reads_into_base_units(tmp_path: Path) -> None:
    """Durations become milliseconds, thresholds floats, and every list keeps the order of the file."""
    policy = load_policy(write(tmp_path, TEXT))
    assert (policy.label, policy.currency, policy.minor_digits) == ("retail@3", "CNY", 2)
    assert (policy.order_memory_ms, policy.orders_per_user) == (180 * DAY_MS, 64)
    assert [event.name for event in policy.events if event.order] == ["order_paid"]
    assert [event.name for event in policy.events if event.refund] == ["order_refunded"]
    assert [each.name for each in policy.features] == list(DOCUMENT["features"])
    activity = feature(policy, "activity")
    assert (activity.events, activity.weights) == (("page_view", "order_paid"), (1.0, 20.0))
    assert (activity.half_life_ms, activity.of) == (30 * DAY_MS, "count")
    assert feature(policy, "basket").weights == (1.0,)
    assert feature(policy, "cart_age").until == ("order_paid",)
    assert feature(policy, "spend").bucket_ms == DAY_MS
    assert policy.scores[1].parts[0].curve == ((0.0, 100.0), (14 * 86400.0, 50.0), (28 * 86400.0, 0.0))
    assert policy.scores[2].combine == "sum"


def test_policy__margin_and_keep_at_give_what_keeps_a_rung() -> None:
    """A rung's own keep_at goes before the margin, and the lowest rung is kept at any score."""
    tier, deal_seeker = parse_policy(DOCUMENT, "test").ladders
    assert tier.rungs == (
        Rung("bronze", -math.inf, -math.inf),
        Rung("silver", 20.0, 16.0),
        Rung("gold", 50.0, 45.0),
    )
    assert (tier.grace_ms, tier.min_dwell_ms) == (DAY_MS, 7 * DAY_MS)
    assert (tier.max_steps_down, tier.step_period_ms) == (1, 30 * DAY_MS)
    assert deal_seeker.tag
    assert deal_seeker.rungs == (Rung("off", -math.inf, -math.inf), Rung("on", 50.0, 40.0))


def test_policy__without_margin_and_keep_at_reach_and_keep_are_one() -> None:
    """The margin left out is 0: a rung is kept down to what reaches it."""
    policy = parse_policy(changed(ladders__tier__margin=..., tags__deal_seeker__margin=...), "test")
    assert policy.ladders[0].rungs[1].keep_at == 20.0
    assert policy.ladders[1].rungs[1].keep_at == 50.0


def test_policy__a_margin_of_one_keeps_every_rung_down_to_no_points() -> None:
    """What was reached is kept for good, on every rung alike."""
    rungs = [{"name": "bronze"}, {"name": "silver", "enter_at": 20}, {"name": "gold", "enter_at": 50}]
    policy = parse_policy(changed(ladders__tier__margin=1, ladders__tier__rungs=rungs), "test")
    assert [rung.keep_at for rung in policy.ladders[0].rungs[1:]] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"coupon_id": "present"}, Where("coupon_id", "present")),
        ({"coupon_id": "absent"}, Where("coupon_id", "absent")),
        ({"channel": "app"}, Where("channel", "in", ("app",))),
        ({"channel": ["app", "web"]}, Where("channel", "in", ("app", "web"))),
        ({"channel": ["present"]}, Where("channel", "in", ("present",))),
        ({"amount": {"min": 100}}, Where("amount", "between", minimum=100.0)),
        ({"amount": 9.9}, Where("amount", "between", minimum=9.9, maximum=9.9)),
        ({"item_age": {"max": "30d"}}, Where("item_age", "between", maximum=30 * 86400.0)),
        ({"item_age": {"min": -5, "max": 10}}, Where("item_age", "between", minimum=-5.0, maximum=10.0)),
        ({"item_launch_at": "present"}, Where("item_launch_at", "present")),
        ({"order_id": "absent"}, Where("order_id", "absent")),
        ({"amount": [9.9, 100]}, Where("amount", "in", (9.9, 100.0))),
        ({"item_age": ["1h", 60]}, Where("item_age", "in", (3600.0, 60.0))),
        ({"item_launch_at": 1000}, Where("item_launch_at", "between", (), 1000.0, 1000.0)),
        (
            {"item_launch_at": {"min": "1970-01-01T08:00:01+08:00"}},
            Where("item_launch_at", "between", minimum=1000.0),
        ),
    ],
)
def test_policy__conditions_read_as_written(condition: dict[str, Any], expected: Where) -> None:
    """A condition is present, absent, a value, a list of values or a range with both ends included."""
    document = changed(features__orders__where=condition)
    policy = parse_policy(document, "test")
    assert feature(policy, "orders").where == (expected,)
    assert parse_policy(policy_to_document(policy), "stored") == policy


def test_policy__a_condition_is_read_by_its_field_whatever_the_feature_is_called() -> None:
    """A feature may have the name of a field."""
    spec = {"kind": "total", "events": ["page_view"], "where": {"item_age": {"max": "30d"}}}
    policy = parse_policy(changed(features__item_launch_at=spec), "test")
    assert feature(policy, "item_launch_at").where == (Where("item_age", "between", maximum=30 * 86400.0),)


@pytest.mark.parametrize(
    "path", [None, REPOSITORY / "config/policies/ecommerce.yaml"], ids=["retail", "ecommerce"]
)
def test_policy__a_stored_document_reads_back_equal(path: Path | None) -> None:
    """What is written for the store as JSON is the same policy when it is read."""
    policy = load_policy(path) if path else parse_policy(DOCUMENT, "test")
    stored = json.dumps(policy_to_document(policy), allow_nan=False)
    assert parse_policy(json.loads(stored), "stored") == policy


def test_policy__reading_leaves_the_document_alone() -> None:
    """A document may be read twice, it is never written to."""
    before = copy.deepcopy(DOCUMENT)
    parse_policy(DOCUMENT, "test")
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("currency", "digits"), [("CNY", 2), ("GBP", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("CLF", 4)]
)
def test_policy__minor_digits_are_those_of_the_currency(currency: str, digits: int) -> None:
    """Amounts are kept in the minor unit ISO 4217 gives the currency."""
    assert parse_policy(changed(currency=currency), "test").minor_digits == digits


def test_policy__off_and_on_are_names_not_truth_values(tmp_path: Path) -> None:
    """A rung may be named off, no or yes: only true and false are truth values."""
    text = TEXT.replace("name: bronze", "name: off").replace("name: silver", "name: no")
    policy = load_policy(write(tmp_path, text))
    assert [rung.name for rung in policy.ladders[0].rungs] == ["off", "no", "gold"]
