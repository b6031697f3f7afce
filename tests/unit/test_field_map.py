"""Tests of field maps as operators write them: what is read, and what is said of each mistake."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from config.check import problems_of
from config.field_map import SHIPPED, FieldMap, read_field_map, shipped_formats
from config.field_paths import Member, parse_path
from config.schema_check import schema
from config.settings import SettingsError
from config.yaml_file import read_file
from flows.cli import main
from scoring.wire import RULES
from tests.unit.settings_files import read, write

PLAIN = {
    "format": "shop",
    "fields": {"event_id": "id", "user_id": "who", "type": "what", "event_time": "at"},
}


def problems_in(folder: Path, **changed: object) -> list[str]:
    """Read a map with some of its keys changed; answer its problems as text."""
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changed}), encoding="utf-8")
    found, problems = read_field_map(path, "shop.yaml")
    assert (found is None) == bool(problems)
    return [str(problem) for problem in problems]


def fields(**changed: object) -> dict[str, object]:
    """Change single fields of the plain map."""
    return {**PLAIN["fields"], **changed}  # type: ignore[dict-item]


@pytest.mark.parametrize("name", shipped_formats())
def test_shipped_map__is_sound(name: str) -> None:
    """A map that ships has no problem, is what its file says, and is valid by the schema that editors use."""
    found, problems = read_field_map(SHIPPED / f"{name}.yaml", name)
    assert not problems
    assert isinstance(found, FieldMap)
    assert (found.name, found.source) == (name, name)
    document, _ = read_file(SHIPPED / f"{name}.yaml")
    assert list(Draft202012Validator(schema("format")).iter_errors(document)) == []


def test_schema__has_the_fields_that_events_have() -> None:
    """Every field of a native event can be mapped, and no other."""
    assert schema("format")["$defs"]["fields"]["properties"].keys() == RULES.keys()


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("a.b-c.d e", ("a", "b-c", "d e")),
        ("a[0].b[12]", ("a", 0, "b", 12)),
        ("a['b.c'].d", ("a", "b.c", "d")),
        ("['a[0]']", ("a[0]",)),
        ("a[key=x.y].value", ("a", Member("key", "x.y"), "value")),
    ],
)
def test_path__is_read_step_by_step(text: str, steps: tuple[object, ...]) -> None:
    """Keys, places in lists, quoted keys and chosen members."""
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text", ["", ".", ".a", "a.", "a..b", "a[", "a[]", "a[-1]", "a[0]b", "a[b]", "a]", "a=b"]
)
def test_path__that_is_none_is_refused(text: str) -> None:
    """What is no path is said to be none, with examples of what is."""
    with pytest.raises(ValueError, match="must be a path such as"):
        parse_path(text)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"format": "My Shop"},
            "$.format: must be a name of lower-case letters, digits and '_', a letter first",
        ),
        ({"feilds": {}}, "$.feilds: unknown key; did you mean 'fields'?"),
        ({"reads": "xml"}, "$.reads: must be json or cloudevents, got 'xml'"),
        ({"fields": {"event_id": "id", "type": "what", "event_time": "at"}}, "$.fields.user_id: is missing"),
        ({"fields": fields(amuont="x")}, "$.fields.amuont: unknown key; did you mean 'amount'?"),
        ({"fields": fields(amount=5)}, "$.fields.amount: must be text or a mapping or a list, got 5"),
        ({"fields": fields(amount=[])}, "$.fields.amount: must not be empty"),
        ({"fields": fields(amount="a..b")}, "$.fields.amount: must be a path such as a.b, a[0].b"),
        ({"fields": fields(amount=["a", "b["])}, "$.fields.amount[1]: must be a path such as a.b"),
        ({"fields": fields(amount={"path": "b["})}, "$.fields.amount.path: must be a path such as a.b"),
        ({"fields": fields(amount={"minus": ["a"]})}, "$.fields.amount.path: is missing"),
        (
            {"fields": fields(amount={"path": "a", "minus": ["b", "c."]})},
            "$.fields.amount.minus[1]: must be a path",
        ),
        ({"fields": fields(amount={"path": "a", "unit": "s"})}, "$.fields.amount.unit: unknown key"),
        (
            {"fields": fields(event_time={"path": "a", "unit": "min"})},
            "$.fields.event_time.unit: must be s, ms, us",
        ),
        ({"fields": fields(amount="message:time")}, "$.fields.amount: must be a path, got 'message:time'"),
        ({"fields": fields(event_id="message:id")}, "$.fields.event_id: must be a path or message:hash, got"),
        (
            {"fields": fields(event_time={"path": "message:time", "unit": "s"})},
            "$.fields.event_time.path: message:time stands alone, without other keys",
        ),
        (
            {"reads": "cloudevents", "fields": fields(event_id=["id", "message:hash"])},
            "$.fields.event_id: message:hash does not see headers; a CloudEvent has an id",
        ),
        ({"exactly_one": ["a", "b]"]}, "$.exactly_one[1]: must be a path such as"),
        ({"absent": [0]}, "$.absent[0]: must be text, got 0; quote it if text is meant"),
        ({"events": {}}, "$.events: must not be empty"),
        (
            {"events": {"Bought": "Order Paid"}},
            "$.events.Bought: must be an event type of the policy, or a mapping",
        ),
        (
            {"events": {"Bought": {"fields": {}}}},
            "$.events.Bought.type: is missing: an event type of the policy",
        ),
        (
            {"events": {"Bought": {"type": "buy", "fields": {"type": "a"}}}},
            "$.events.Bought.fields.type: is said by the event's own type; leave it out",
        ),
        (
            {"events": {"Bought": {"type": "buy", "fields": {"amount": "a."}}}},
            "$.events.Bought.fields.amount: must be a path such as",
        ),
    ],
)
def test_map__names_the_place_and_the_rule(tmp_path: Path, changed: dict[str, object], problem: str) -> None:
    """Each mistake is one line: where, what must hold, what was found."""
    (line,) = problems_in(tmp_path, **changed)
    assert line.startswith(problem)


def test_map__names_all_problems_at_once(tmp_path: Path) -> None:
    """A file with several mistakes is read to its end."""
    wrong = fields(amount="a..b", event_time=7)
    assert len(problems_in(tmp_path, colour="red", fields=wrong, exactly_one=["]"])) == 4
    assert problems_in(tmp_path) == []


def test_settings__name_the_format_of_a_topic(elsewhere: Path) -> None:
    """A shipped name, native, or a file beside the settings; what is shown is what was written."""
    (elsewhere / "maps").mkdir()
    (elsewhere / "maps" / "shop.yaml").write_text(yaml.safe_dump(PLAIN), encoding="utf-8")
    text = "topics: {input: [a, b, c], formats: {a: segment, b: maps/shop.yaml, c: native}}"
    topics = read(elsewhere, text).topics
    assert {topic: found.name for topic, found in topics.formats.items()} == {"a": "segment", "b": "shop"}
    assert read(elsewhere, text).redacted()["topics"]["formats"] == {"a": "segment", "b": "maps/shop.yaml"}
    by_environment = read(elsewhere, "topics: {input: [a]}", TIERWISE_TOPICS__FORMATS__A="ga4").topics
    assert by_environment.formats["a"].name == "ga4"


@pytest.mark.parametrize(
    ("formats", "problem"),
    [
        (
            {"ordres": "segment"},
            "$.topics.formats.ordres: no input topic is named 'ordres'; did you mean 'orders'?",
        ),
        (
            {"orders": "segmnet"},
            "$.topics.formats.orders: no format is named 'segmnet'; did you mean 'segment'?",
        ),
        (
            {"orders": "avro"},
            "no format is named 'avro'; known: native, cloudevents, ga4, segment; a map of your own",
        ),
        ({"orders": "maps/none.yaml"}, "maps/none.yaml: $: cannot be read: No such file or directory"),
        ({"orders": "shop.yaml"}, "shop.yaml: $.fields.amuont: unknown key; did you mean 'amount'?"),
        ({"orders": 5}, "$.topics.formats.orders: must be text, got 5; quote it if text is meant"),
    ],
)
def test_settings__say_what_is_wrong_with_a_format(
    elsewhere: Path, formats: dict[str, object], problem: str
) -> None:
    """A name that leads nowhere, and every mistake in a map, are problems of the settings."""
    wrong = {**PLAIN, "fields": fields(amuont="x")}
    (elsewhere / "shop.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    text = json.dumps({"topics": {"formats": formats}})
    with pytest.raises(SettingsError) as caught:
        read(elsewhere, text)
    (line,) = [str(found) for found in caught.value.problems]
    assert problem in line
    assert [told for told in problems_of(write(elsewhere, text), {}) if problem in told]


def test_check__misses_what_every_order_needs(elsewhere: Path) -> None:
    """A map whose orders would all be set aside is refused, event by event; its other events are left in peace."""
    events = {
        "Bought": "order_paid",
        "Returned": {"type": "order_refunded", "fields": {"amount": "b"}},
        "Seen": "page_view",
    }
    own = {**PLAIN, "fields": fields(order_id="o"), "events": events}
    (elsewhere / "shop.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    path = write(elsewhere, "topics: {formats: {orders: shop.yaml}}")
    assert problems_of(path, {}) == [
        f"{path}: $.topics.formats.orders: shop.yaml: $.events.Bought: order_paid needs amount, and no field says "
        "where it stands"
    ]


def test_check__notes_types_that_the_policy_ignores(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A map may name more than a policy scores, so that is no problem; but a slip of the pen is seen."""
    own = {**PLAIN, "events": {"Seen": "page_veiw", "Found": "search"}}
    (elsewhere / "shop.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    path = write(elsewhere, "topics: {formats: {orders: shop.yaml, clickstream: segment}}")
    assert main(["check", "--settings", str(path)]) == 0
    ok, note = capsys.readouterr().out.splitlines()
    assert ok.startswith("ok: ")
    assert note == "note: orders in shop.yaml: the policy does not score page_veiw"
