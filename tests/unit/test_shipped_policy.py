"""What the policy that ships must hold. This file reads it as an operator would."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from config.durations import UNIT_MS
from config.policy_file import load_policy
from scoring.policy import Ladder, Policy, Score

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "policies" / "ecommerce.yaml"
DAY_S = UNIT_MS["d"] // 1000
NUMBER = re.compile(r"-?[0-9.]+\s*(ms|s|m|h|d)?")
COMMENT_LETTERS_MIN = 8


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(SHIPPED)


def numbers_of(node: yaml.Node) -> list[yaml.ScalarNode]:
    if isinstance(node, yaml.MappingNode):
        return [number for _, value in node.value for number in numbers_of(value)]
    if isinstance(node, yaml.SequenceNode):
        return [number for item in node.value for number in numbers_of(item)]
    assert isinstance(node, yaml.ScalarNode)
    return [node] if NUMBER.fullmatch(node.value) else []


def ladder_of(policy: Policy, name: str) -> Ladder:
    return next(ladder for ladder in policy.ladders if ladder.name == name)


def score_of(policy: Policy, ladder: str) -> Score:
    return next(score for score in policy.scores if score.name == ladder_of(policy, ladder).score)


def test_shipped_policy__every_number_says_why() -> None:
    """Each line with a number ends in a comment that gives its reason."""
    text = SHIPPED.read_text()
    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    lines = text.splitlines()
    numbers = numbers_of(root)
    assert len(numbers) > 80
    silent = {
        f"line {number.start_mark.line + 1}: {lines[number.start_mark.line].strip()}"
        for number in numbers
        if len(re.findall("[a-z]", lines[number.start_mark.line].partition("#")[2])) < COMMENT_LETTERS_MIN
    }
    assert not silent


def test_shipped_policy__has_the_ladders_and_tags_that_are_promised(policy: Policy) -> None:
    """The ladders and tags, their rungs and their order are what apps may rely on."""
    rungs = {ladder.name: [rung.name for rung in ladder.rungs] for ladder in policy.ladders}
    off_on = ["off", "on"]
    assert rungs == {
        "tier": ["bronze", "silver", "gold", "platinum"],
        "lifecycle": ["churned", "dormant", "silent", "active"],
        "aipl": ["awareness", "interest", "purchase", "loyalty"],
        "new_user": off_on,
        "deal_seeker": off_on,
        "new_product_fan": off_on,
        "cart_open": off_on,
    }
    assert policy.label == "ecommerce@1"
    assert (policy.currency, policy.minor_digits, policy.timezone) == ("CNY", 2, "Asia/Shanghai")


def test_shipped_policy__tier_keeps_a_fifth_between_reach_and_keep(policy: Policy) -> None:
    """Every rung of tier is kept down to 80% of what reaches it."""
    for rung in ladder_of(policy, "tier").rungs[1:]:
        assert rung.keep_at == pytest.approx(0.8 * rung.enter_at)


def test_shipped_policy__tier_rests_on_half_lives_of_30_to_120_days(policy: Policy) -> None:
    """The score of tier reads decayed counts and spends only, none forgetting faster or slower."""
    features = {feature.name: feature for feature in policy.features}
    read = [features[part.feature] for part in score_of(policy, "tier").parts]
    assert {feature.kind for feature in read} == {"decayed"}
    assert {feature.of for feature in read} == {"count", "amount"}
    assert all(30 * UNIT_MS["d"] <= feature.half_life_ms <= 120 * UNIT_MS["d"] for feature in read)


def test_shipped_policy__tier_cannot_be_reached_to_gold_without_buying(policy: Policy) -> None:
    """Attention alone gives less than silver asks for."""
    parts = {part.feature: part for part in score_of(policy, "tier").parts}
    assert parts["attention"].curve[-1][1] < ladder_of(policy, "tier").rungs[1].enter_at
    assert sum(part.curve[-1][1] for part in parts.values()) == 100


def test_shipped_policy__lifecycle_thresholds_lie_on_the_curve_of_silence(policy: Policy) -> None:
    """Active ends after 14 days of silence, silent after 45, dormant after 120."""
    (part,) = score_of(policy, "lifecycle").parts
    age_at = {points: age_s for age_s, points in part.curve}
    rungs = ladder_of(policy, "lifecycle").rungs
    assert [age_at[rung.keep_at] / DAY_S for rung in rungs[1:]] == [120, 45, 14]
    assert part.curve[0] == (0.0, 100.0)


def test_shipped_policy__a_step_falls_below_its_threshold_in_the_next_second(policy: Policy) -> None:
    """Where a curve over silence starts to fall it loses far more within a second than the tolerance."""
    kind_of = {feature.name: feature.kind for feature in policy.features}
    for score in policy.scores:
        for part in score.parts:
            if kind_of[part.feature] == "since":
                for (x, points), (x_next, points_next) in pairwise(part.curve):
                    fall_per_second = (points - points_next) / (x_next - x)
                    assert fall_per_second == 0 or fall_per_second > 10 * 1e-9 * 100


def test_shipped_policy__a_row_stays_small(policy: Policy) -> None:
    """Buckets are eight bytes a user each, so all windows together hold fewer than a hundred."""
    windows = [feature for feature in policy.features if feature.kind == "window"]
    assert sum(feature.span_ms // feature.bucket_ms + 1 for feature in windows) < 100


def test_shipped_policy__new_user_and_cart_open_use_first_and_until(policy: Policy) -> None:
    """A newcomer is known by the first event, a cart is open until an order."""
    features = {feature.name: feature for feature in policy.features}
    assert features["known_for"].first
    assert features["cart_age"].until == ("order_paid",)
    (item_age,) = features["new_picks_quarter"].where
    assert (item_age.field, item_age.op, item_age.maximum) == ("item_age", "between", 30 * DAY_S)
