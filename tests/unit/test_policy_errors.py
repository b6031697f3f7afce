"""What a policy file is refused for: each problem by its path, all of them at once."""

import math
from pathlib import Path
from typing import Any

import pytest

from config.policy_file import PolicyError, load_policy
from tests.unit.policy_documents import DOCUMENT, TEXT, changed, problems_of, write


def test_policy_error__names_all_problems_at_once(tmp_path: Path) -> None:
    """A wrong shape, a wrong word and a broken rule are all in one message, under the name of the file."""
    text = TEXT.replace("keep_at: 45", "keep_at: 85").replace("30d, weights", "14 dyas, weights")
    path = write(tmp_path, text.replace("max_steps_down", "max_step_down").replace("CNY", "CNX"))
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(caught.value) == "\n".join(
        [
            f"PolicyError: {path}: 4 problems",
            "  $.features.activity.half_life: unknown unit in '14 dyas'; use ms, s, m, h or d",
            "  $.ladders.tier.max_step_down: unknown key; did you mean 'max_steps_down'?",
            "  $.currency: no currency of ISO 4217 has the code 'CNX'; did you mean 'CNY'?",
            "  $.ladders.tier.rungs[2].keep_at: must be below enter_at (50.0), got 85.0",
        ]
    )


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ({"policy": "Retail Shop"}, "$.policy: must be a name of a-z"),
        ({"version": ...}, "$.version: is missing: a whole number from 1"),
        ({"version": True}, "$.version: must be a whole number, got true"),
        ({"version": 0}, "$.version: must be at least 1, got 0"),
        ({"currency": "cny"}, "$.currency: no currency of ISO 4217 has the code 'cny'; did you mean 'CNY'?"),
        (
            {"timezone": "Asia/Shangai"},
            "no IANA time zone is named 'Asia/Shangai'; did you mean 'Asia/Shanghai'?",
        ),
        ({"timezone": "../UTC"}, "$.timezone: no IANA time zone"),
        ({"timezone": "Asia"}, "$.timezone: no IANA time zone"),
        ({"scoers": {}}, "$.scoers: unknown key; did you mean 'scores'?"),
        ({"order_memory": "180"}, "$.order_memory: a unit is missing in '180'"),
        ({"order_memory": "99999d"}, "$.order_memory: must be at most 36500d"),
        ({"orders_per_user": 0}, "$.orders_per_user: must be at least 1, got 0"),
        ({"events": {}}, "$.events: must not be empty"),
        ({"events__order_paid": None}, "$.events.order_paid: must be a mapping, got nothing"),
        (
            {"events__order_paid__refund": True},
            "$.events.order_paid: is an order or a refund, it cannot be both",
        ),
        ({"events__order_paid__oder": True}, "$.events.order_paid.oder: unknown key; did you mean 'order'?"),
    ],
)
def test_policy_error__top_level_and_events(at: dict[str, Any], problem: str) -> None:
    """What a policy says of itself and of its events is checked against the rules of each key."""
    lines = problems_of(changed(**at))
    assert any(problem in line for line in lines), lines


@pytest.mark.parametrize(
    ("name", "spec", "problem"),
    [
        ("Big", {"kind": "total", "events": ["page_view"]}, "$.features.Big: names are of a-z, 0-9 and _"),
        (
            "x",
            {"kind": "totals"},
            "$.features.x.kind: must be decayed, window, total, since, active_days or ratio",
        ),
        ("x", {"events": ["page_view"]}, "$.features.x.kind: is missing: one of decayed"),
        ("x", {"kind": "total"}, "$.features.x.events: is missing: the event types it counts"),
        ("x", {"kind": "total", "events": []}, "$.features.x.events: must not be empty"),
        ("x", {"kind": "total", "events": ["a", "a"]}, "$.features.x.events: must not name anything twice"),
        (
            "x",
            {"kind": "total", "events": ["page_vew"]},
            "$.features.x.events[0]: no event type is named 'page_vew'; did you mean 'page_view'?",
        ),
        (
            "x",
            {"kind": "total", "events": ["page_view"], "of": "sum"},
            "$.features.x.of: must be count or amount",
        ),
        (
            "x",
            {"kind": "total", "events": ["order_refunded"], "of": "amount"},
            "$.features.x.events[0]: order_refunded is a refund",
        ),
        ("x", {"kind": "total", "events": ["page_view"], "first": True}, "x.first: unknown key; only since"),
        (
            "x",
            {"kind": "total", "events": ["page_view"], "until": ["page_view"]},
            "x.until: unknown key; only",
        ),
        ("x", {"kind": "decayed", "half_life": "30d"}, "$.features.x.weights: is missing"),
        (
            "x",
            {"kind": "decayed", "half_life": "30d", "events": ["page_view"], "weights": {"page_view": 1}},
            "$.features.x.events: takes weights or events, not both",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": "0d", "events": ["page_view"]},
            "x.half_life: must be above 0",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": 30, "events": ["page_view"]},
            "x.half_life: must be a duration with a",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": "30d", "weights": {"page_view": -1}},
            "$.features.x.weights.page_view: must be at least 0, got -1",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": "30d", "weights": {"page_view": math.nan}},
            "$.features.x.weights.page_view: must be a finite number",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": "30d", "weights": {"page_view": 10**400}},
            "$.features.x.weights.page_view: must be a finite number",
        ),
        (
            "x",
            {"kind": "decayed", "half_life": "30d", "weights": {"viewed": 1}},
            "$.features.x.weights.viewed: no event type is named 'viewed'",
        ),
        (
            "x",
            {"kind": "window", "events": ["page_view"], "span": "1h", "bucket": "1d"},
            "$.features.x.span: must be at least the bucket (1d), got 1h",
        ),
        (
            "x",
            {"kind": "window", "events": ["page_view"], "span": "401d", "bucket": "1d"},
            "$.features.x.bucket: a span holds at most 400 buckets; 401d by 1d is 401",
        ),
        (
            "x",
            {"kind": "window", "events": ["page_view"], "span": "90d", "bucket": "1500ms"},
            "$.features.x.bucket: must be whole seconds, got '1500ms'",
        ),
        (
            "x",
            {"kind": "active_days", "events": ["page_view"], "span": "65d"},
            "x.span: must be whole days, 1d to 64d",
        ),
        (
            "x",
            {"kind": "active_days", "events": ["page_view"], "span": "36h"},
            "x.span: must be whole days, 1d to 64d",
        ),
        (
            "x",
            {"kind": "since", "events": ["page_view"], "until": ["nope"]},
            "$.features.x.until[0]: no event type",
        ),
        (
            "x",
            {"kind": "ratio", "over": "orders", "under": "oders", "at_least": 1},
            "under: no feature is named 'oders'",
        ),
        (
            "x",
            {"kind": "ratio", "over": "activity", "under": "orders", "at_least": 1},
            "over: must be a window, total",
        ),
        (
            "x",
            {"kind": "ratio", "over": "orders", "under": "x", "at_least": 1},
            "under: must be a window, total",
        ),
        (
            "x",
            {"kind": "ratio", "over": "orders", "under": "orders", "at_least": 0},
            "at_least: must be above 0, got 0",
        ),
        ("x", {"kind": "ratio", "over": "orders", "under": "orders"}, "$.features.x.at_least: is missing"),
    ],
)
def test_policy_error__features(name: str, spec: dict[str, Any], problem: str) -> None:
    """Each kind takes its own keys, and what it refers to exists and fits."""
    lines = problems_of(changed(**{f"features__{name}": spec}))
    assert any(problem in line for line in lines), lines


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ({"categroy": "a"}, "where.categroy: unknown key; did you mean 'category'?"),
        ({"category": 5}, "where.category: must be text or a list, got 5; quote it if text is meant"),
        ({"category": []}, "where.category: must not be empty"),
        ({"amount": "lots"}, "where.amount: must be present, absent, a number, a list of numbers or"),
        ({"amount": {"min": 5, "max": 3}}, "where.amount.min: must not be above max (3.0), got 5.0"),
        ({"amount": {}}, "where.amount: must be present"),
        ({"amount": {"mn": 5}}, "where.amount.mn: unknown key"),
        ({"item_age": {"max": "30x"}}, "where.item_age.max: must be a number of seconds or a duration"),
        ({"amount": [5, "lots"]}, "where.amount[1]: must be a number, got 'lots'"),
        (
            {"item_launch_at": "2026-01-01"},
            "where.item_launch_at: must be a time such as 2026-09-01T00:00:00Z",
        ),
        (
            {"item_launch_at": [1.5]},
            "where.item_launch_at[0]: must be a time such as 2026-09-01T00:00:00Z or",
        ),
        ({"item_launch_at": {"max": "now"}}, "where.item_launch_at.max: must be a time such as"),
        ({}, "where: must not be empty"),
    ],
)
def test_policy_error__conditions(where: dict[str, Any], problem: str) -> None:
    """A condition names a known field and a value that fits it."""
    lines = problems_of(changed(features__orders__where=where))
    assert any(problem in line for line in lines), lines


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"actvity": [[0, 0]]}, "no feature is named 'actvity'; did you mean 'activity'?"),
        (
            {"activity": [[0, 5], [9, 4]]},
            "activity[1][1]: must not fall where the feature is decayed, got 4.0 after 5.0",
        ),
        ({"spend": [[0, 5], [9, 4]]}, "spend[1][1]: must not fall where the feature is window"),
        ({"orders": [[0, 5], [9, 4]]}, "orders[1][1]: must not fall where the feature is total"),
        ({"days": [[0, 5], [9, 4]]}, "days[1][1]: must not fall where the feature is active_days"),
        (
            {"silence": [["0s", 5], ["1d", 6]]},
            "silence[1][1]: must not rise where the feature is since, got 6.0 after 5.0",
        ),
        (
            {"activity": [[0, 0], [0, 1]]},
            "activity[1][0]: x must rise from point to point, got 0.0 after 0.0",
        ),
        ({"activity": [["1d", 0]]}, "activity[0][0]: only a since feature is measured in time"),
        ({"silence": [["1 fortnight", 0]]}, "silence[0][0]: unknown unit in '1 fortnight'"),
        ({"activity": [[0, 0, 0]]}, "activity[0]: a point is [x, points], got a list of 3"),
        ({"activity": [0]}, "activity[0]: a point is [x, points], got 0"),
        ({"activity": []}, "activity: must not be empty"),
        ({"activity": [[0, math.inf]]}, "activity[0][1]: must be a finite number"),
        ({}, "parts: must not be empty"),
    ],
)
def test_policy_error__curves(parts: dict[str, Any], problem: str) -> None:
    """With no event a score can only fall: curves rise with what decays and fall with silence."""
    lines = problems_of(changed(scores__value__parts=parts))
    assert len(lines) == 1
    assert problem in lines[0]


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (
            {"ladders__tier__score": "valeu"},
            "$.ladders.tier.score: no score is named 'valeu'; did you mean 'value'?",
        ),
        ({"ladders__tier__margin": 1.5}, "$.ladders.tier.margin: must be at most 1, got 1.5"),
        (
            {"ladders__tier__step_period": ...},
            "$.ladders.tier.step_period: must be above 0 where max_steps_down",
        ),
        ({"ladders__tier__rungs": [{"name": "only"}]}, "$.ladders.tier.rungs: must hold at least 2"),
        (
            {"ladders__tier__rungs__0": {"name": "a", "enter_at": 1}},
            "rungs[0].enter_at: the lowest rung is where",
        ),
        ({"ladders__tier__rungs__2": {"name": "gold"}}, "$.ladders.tier.rungs[2].enter_at: is missing"),
        (
            {"ladders__tier__rungs__2": {"name": "silver", "enter_at": 50}},
            "rungs[2].name: a rung above already has",
        ),
        (
            {"ladders__tier__rungs__2": {"name": "gold", "enter_at": 20}},
            "$.ladders.tier.rungs[2].enter_at: must be above enter_at of silver (20.0), got 20.0",
        ),
        (
            {"ladders__tier__rungs__2": {"name": "gold", "enter_at": 50, "keep_at": 10}},
            "$.ladders.tier.rungs[2].keep_at: keep_at must not be below that of silver (16.0), got 10.0",
        ),
        (
            {"ladders__tier__rungs__1": {"name": "silver", "enter_at": -10}},
            "rungs[1].enter_at: a margin needs a threshold of 0 or more, got -10.0; say keep_at",
        ),
        (
            {"ladders__tier__rungs__1__nmae": "x"},
            "$.ladders.tier.rungs[1].nmae: unknown key; did you mean 'name'?",
        ),
        ({"tags__deal_seeker__max_steps_down": 1}, "max_steps_down: unknown key; a tag has one step only"),
        ({"tags__deal_seeker__enter_at": ...}, "$.tags.deal_seeker.enter_at: is missing"),
        (
            {"tags__deal_seeker__keep_at": 60},
            "$.tags.deal_seeker.keep_at: must be below enter_at (50.0), got 60.0",
        ),
        ({"tags__tier": {"score": "value", "enter_at": 1}}, "$.tags.tier: is the name of a ladder already"),
        ({"tags__seq": {"score": "value", "enter_at": 1}}, "$.tags.seq: is the name of a user field"),
        ({"tags__orders": {"score": "value", "enter_at": 1}}, "$.tags.orders: is the name of a user field"),
    ],
)
def test_policy_error__ladders_and_tags(at: dict[str, Any], problem: str) -> None:
    """Rungs rise, what keeps a rung lies below what reaches it, and names are free."""
    (line,) = problems_of(changed(**at))
    assert problem in line


def test_policy_error__counts_have_limits() -> None:
    """62 features fit and 62 ladders and tags; one more of either is refused."""
    spare = 62 - len(DOCUMENT["features"])
    more = {f"more_{i}": {"kind": "total", "events": ["page_view"]} for i in range(spare)}
    full = changed(features=DOCUMENT["features"] | more)
    assert problems_of(full) == []
    full["features"]["one_more"] = {"kind": "total", "events": ["page_view"]}
    assert problems_of(full) == ["$.features: must be at most 62, got 63"]
    tags = {f"tag_{i}": {"score": "value", "enter_at": 1} for i in range(61)}
    assert problems_of(changed(tags=tags)) == []
    tags["one_more"] = {"score": "value", "enter_at": 1}
    assert problems_of(changed(tags=tags)) == ["$.ladders: at most 62 ladders and tags, got 63"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policy: a\npolicy: b\n", "$.policy: is written twice, lines 1 and 2"),
        ("events:\n  a: {}\n  a: {}\n", "$.events.a: is written twice, lines 2 and 3"),
        ("version: 1\n  x: [\n", "$: is not YAML"),
        ("- a\n", "$: must be a mapping of keys, got list"),
        ("1: x\n", "$: has the key 1, which is not text, line 1"),
        ("events: &e {a: *e}\n", "contains itself"),
        ("policy: !!python/object:os.system x\n", "$: is not YAML"),
        ("version: .inf\n", "$.version: must be a finite number"),
        ("version: 1e999\n", "$.version: must be a finite number"),
    ],
)
def test_policy_error__what_yaml_itself_gets_wrong(tmp_path: Path, text: str, problem: str) -> None:
    """A key written twice, a text that is no mapping and a number that is none are named, not guessed."""
    with pytest.raises(PolicyError) as caught:
        load_policy(write(tmp_path, text))
    assert any(problem in str(each) for each in caught.value.problems), str(caught.value)


def test_policy_error__a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is one problem, with its name and the system's reason."""
    with pytest.raises(PolicyError, match=r"nowhere\.yaml: 1 problem\n  \$: cannot be read: No such file"):
        load_policy(tmp_path / "nowhere.yaml")
