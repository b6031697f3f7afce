"""How a policy file is read, refused and stored. Each problem is found by its path."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.policy_file import PolicyError, load_policy, parse_policy, policy_to_document
from scoring.policy import DAY_MS, Policy, Rung, Where

REPOSITORY = Path(__file__).resolve().parents[2]

TEXT = """
policy: retail
version: 3
currency: CNY
timezone: Asia/Shanghai
events:
  page_view: {}
  add_to_cart: {}
  order_paid: {order: true}
  order_refunded: {refund: true}
features:
  activity: {kind: decayed, half_life: 30d, weights: {page_view: 1, order_paid: 20}}
  basket: {kind: decayed, of: amount, half_life: 120d, events: [order_paid]}
  spend: {kind: window, of: amount, events: [order_paid], span: 90d, bucket: 1d}
  orders: {kind: total, events: [order_paid]}
  coupon_orders: {kind: total, events: [order_paid], where: {coupon_id: present}}
  silence: {kind: since, events: [page_view, order_paid]}
  cart_age: {kind: since, events: [add_to_cart], until: [order_paid]}
  days: {kind: active_days, events: [page_view], span: 28d}
  coupon_share: {kind: ratio, over: coupon_orders, under: orders, at_least: 3}
scores:
  value: {combine: sum, parts: {activity: [[0, 0], [50, 20]], spend: [[0, 0], [20000, 60]]}}
  life: {combine: max, parts: {silence: [[0, 100], [14d, 50], [28d, 0]]}}
  deals: {parts: {coupon_share: [[0, 0], [0.5, 80], [1, 20]]}}
ladders:
  tier:
    score: value
    margin: 0.2
    grace: 1d
    min_dwell: 7d
    max_steps_down: 1
    step_period: 30d
    rungs: [{name: bronze}, {name: silver, enter_at: 20}, {name: gold, enter_at: 50, keep_at: 45}]
tags:
  deal_seeker: {score: deals, enter_at: 50, margin: 0.2}
"""
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)


def changed(**at: Any) -> dict[str, Any]:
    """Answer the document with values laid at paths such as ladders__tier__grace; ... takes a key away."""
    document = copy.deepcopy(DOCUMENT)
    for path, value in at.items():
        *groups, last = path.split("__")
        here: Any = document
        for group in groups:
            here = here[int(group) if isinstance(here, list) else group]
        if value is ...:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value
    return document


def problems_of(document: dict[str, Any]) -> list[str]:
    """Answer the problems of a document as lines, none for a policy that is fine."""
    try:
        parse_policy(document, "test")
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return []


def feature(policy: Policy, name: str) -> Any:
    return next(each for each in policy.features if each.name == name)


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


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
    ],
)
def test_policy__conditions_read_as_written(condition: dict[str, Any], expected: Where) -> None:
    """A condition is present, absent, a value, a list of values or a range with both ends included."""
    document = changed(features__orders__where=condition)
    policy = parse_policy(document, "test")
    assert feature(policy, "orders").where == (expected,)
    assert parse_policy(policy_to_document(policy), "stored") == policy


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
        ({"amount": "lots"}, "where.amount: must be present, absent, a number or {min:, max:}, got 'lots'"),
        ({"amount": {"min": 5, "max": 3}}, "where.amount.min: must not be above max (3.0), got 5.0"),
        ({"amount": {}}, "where.amount: must be present"),
        ({"amount": {"mn": 5}}, "where.amount.mn: unknown key"),
        ({"item_age": {"max": "30x"}}, "where.item_age.max: must be a number of seconds or a duration"),
        ({"item_launch_at": "2026-01-01"}, "where.item_launch_at: must be present or absent"),
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
            "$.ladders.tier.rungs[2].keep_at: keep_at must be above that of silver (16.0), got 10.0",
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
    """62 features that count events fit and 62 ladders and tags; one more of either is refused."""
    spare = 62 - sum(spec["kind"] != "ratio" for spec in DOCUMENT["features"].values())
    more = {f"more_{i}": {"kind": "total", "events": ["page_view"]} for i in range(spare)}
    full = changed(features=DOCUMENT["features"] | more)
    assert problems_of(full) == []
    full["features"]["one_more"] = {"kind": "total", "events": ["page_view"]}
    assert problems_of(full) == ["$.features: at most 62 features may count events, got 63"]
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


def test_policy__off_and_on_are_names_not_truth_values(tmp_path: Path) -> None:
    """A rung may be named off, no or yes: only true and false are truth values."""
    text = TEXT.replace("name: bronze", "name: off").replace("name: silver", "name: no")
    policy = load_policy(write(tmp_path, text))
    assert [rung.name for rung in policy.ladders[0].rungs] == ["off", "no", "gold"]


def test_policy_error__a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is one problem, with its name and the system's reason."""
    with pytest.raises(PolicyError, match=r"nowhere\.yaml: 1 problem\n  \$: cannot be read: No such file"):
        load_policy(tmp_path / "nowhere.yaml")
