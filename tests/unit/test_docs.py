"""This file holds the documents to the code: what they name exists, and what they show is what comes out."""

import ast
import json
import re
from typing import Any

import yaml

from config.kafka_rules import ALLOWED, AT_LEAST, REFUSED
from config.policy_file import load_policy, parse_policy
from config.schema_check import schema
from config.settings import read_settings
from config.yaml_file import read_document
from flows.hop.watch import HopWatch
from flows.webhooks.metrics import WebhookMetrics
from scoring.events import DeadLetter, Envelope, LadderChange, Reason
from scoring.state import CAUSES
from sinks.change_topic import entry_of
from sinks.dead_letters import entry_of as dead_letter_of
from sinks.keyspace import USER_FIELDS, ladder_fields, points_text
from sinks.metrics import Metrics
from tests.unit.docs_examples import (
    DOCUMENTS,
    FAR_MS,
    ROOT,
    anchors,
    code_spans,
    example,
    links,
    scored,
    table_rows,
    text_of,
)

CONSUMER_LINES_MAX = 10
README_LINES_MAX = 84
DECISION_LINES_MAX = 8
STAGES = ("source", "decode", "score", "commit", "emit")


def settings_leaves(here: dict[str, Any], path: str = "") -> list[str]:
    """List the dotted keys of the settings schema."""
    if "properties" not in here:
        return [path]
    return [
        leaf
        for key, inner in here["properties"].items()
        for leaf in settings_leaves(inner, f"{path}.{key}" if path else key)
    ]


def full_change() -> LadderChange:
    """Make a change that has every key."""
    return LadderChange(
        "u1", 1, "tier", "bronze", "silver", 0, 1, "event", "e1", 20.0, 0, 0, "gold", 30.0, 1000,
        (("spend", 1.0, 20.0),), "shop@1",
    )  # fmt: skip


def test_settings_page__names_every_setting_with_its_default() -> None:
    """A key that the schema knows has a row, and the row says what holds when it is left out."""
    keys = text_of("docs/settings.md").partition("## Every key")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", keys, re.M))
    defaults = read_settings(ROOT / "docs" / "no-such-file.yaml", {})[0].redacted()
    for key in settings_leaves(schema("settings")):
        value: Any = defaults
        for part in key.split("."):
            value = value[part]
        shown = rows[key].strip("`")
        if key == "group":
            assert (shown, value) == ("the prefix", defaults["prefix"])
        elif key == "policy":
            assert str(value).endswith(shown)
        else:
            assert read_document(f"key: {shown}")[0]["key"] == value, key


def test_settings_page__names_every_refused_kafka_setting() -> None:
    """Whoever is refused a Kafka setting finds it, with the values that are allowed."""
    spans = code_spans("docs/settings.md")
    assert not {*REFUSED, *ALLOWED, *AT_LEAST} - spans
    for key, (values, _) in ALLOWED.items():
        if not key.startswith("max.in.flight"):
            assert not set(values) - spans, key


def test_contract_page__names_every_field_key_and_reason() -> None:
    """Each field of a profile, key and header of a change, reason and cause is explained."""
    spans = code_spans("docs/contract.md")
    entry = entry_of(full_change())
    change = json.loads(entry.value or b"")
    assert not {*USER_FIELDS, *ladder_fields("L")} - spans
    assert not {*change, *change["next"], *change["why"][0], *(name for name, _ in entry.headers)} - spans
    assert not {*CAUSES, *(reason.label for reason in Reason)} - spans
    letter = dead_letter_of(
        DeadLetter(Reason.TOO_LARGE, "", "orders", 0, 0, bytes(70_000), Envelope(b"", 1)), 0
    )
    assert not {name for name, _ in letter.headers} - spans


def test_policy_page__names_every_key_of_the_schema() -> None:
    """A key that a policy may have is explained."""
    spans = code_spans("docs/policy.md")
    document = schema("policy")
    keys = set(document["properties"])
    keys |= {key for part in document["$defs"].values() for key in part.get("properties", {})}
    written = spans | {word for span in spans for word in re.findall(r"\w+", span)}
    assert not keys - written


def test_policy_page__example_comes_out_as_shown() -> None:
    """The table of the worked example is what the real code makes of its policy and events."""
    policy = parse_policy(yaml.safe_load(example("docs/policy.md", "policy")), "docs/policy.md")
    events = [json.loads(line) for line in example("docs/policy.md", "events").splitlines()]
    _, changes = scored(policy, events, until_ms=FAR_MS)
    shown = []
    for change in changes:
        document = json.loads(entry_of(change).value or b"")
        shown.append(
            [
                str(change.seq),
                document["effective_at"],
                change.cause,
                change.ladder,
                change.from_rung,
                str(change.to_rung),
                points_text(change.score),
                document.get("falls_at", ""),
            ]
        )
    assert shown == table_rows("docs/policy.md", "changes")


def test_readme__example_comes_out_as_shown() -> None:
    """The first event of a user gives the profile and the change of the first screen."""
    policy = load_policy(ROOT / "config" / "policies" / "ecommerce.yaml")
    event = json.loads(example("README.md", "event"))
    plan, changes = scored(policy, [event], until_ms=None)
    assert json.loads(entry_of(changes[0]).value or b"") == json.loads(example("README.md", "change"))
    chunk = plan.chunks[0]
    tags = [ladder.name for n, ladder in enumerate(policy.ladders) if ladder.tag and chunk.rung[0, n]]
    assert dict(line.split() for line in example("README.md", "profile").splitlines()) == {
        "tier": policy.ladders[0].rungs[chunk.rung[0, 0]].name,
        "tier.score": points_text(chunk.score[0, 0]),
        "tier.next": changes[0].next_rung,
        "tier.to_next": points_text(changes[0].next_points or 0.0),
        "tier.falls_at_ms": str(chunk.falls_at_ms[0, 0]),
        "spend": f"{chunk.spend_minor[0] / 100:.2f}",
        "tags": ",".join(sorted(tags)),
        "seq": str(chunk.seq[0]),
    }


def test_contract_page__shows_the_fall_that_the_readme_foretells() -> None:
    """The same event and then silence give the change that stands in the contract."""
    policy = load_policy(ROOT / "config" / "policies" / "ecommerce.yaml")
    first = json.loads(example("README.md", "change"))
    falls_at_ms = int(
        dict(line.split() for line in example("README.md", "profile").splitlines())["tier.falls_at_ms"]
    )
    _, changes = scored(policy, [json.loads(example("README.md", "event"))], until_ms=falls_at_ms)
    fall = json.loads(entry_of(changes[-1]).value or b"")
    assert fall == json.loads(example("docs/contract.md", "fall"))
    assert fall["effective_at"] == first["falls_at"]


def test_readme__is_short_and_its_commands_exist() -> None:
    """The first screen stays one, and `make` knows every target that a document names."""
    assert len(text_of("README.md").splitlines()) <= README_LINES_MAX
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    for path in DOCUMENTS:
        assert not set(re.findall(r"^make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M)) - targets, path


def test_architecture_page__has_a_heading_for_each_stage_and_short_decisions() -> None:
    """Stages stand in the pipeline's order; a decision is dated, short, and says what would reopen it."""
    text = text_of("docs/architecture.md")
    assert tuple(re.findall(r"^## ([a-z]+)$", text, re.M)) == STAGES
    # Commit and emit are the two halves of the step `write`.
    steps = re.findall(r'"([a-z]+)", (?:flow, source|items)', text_of("flows/pipeline.py"))
    assert (*steps[:-1], "commit", "emit") == STAGES
    assert steps[-1] == "write"
    decisions = re.split(r"^### ", text.partition("## Decisions")[2], flags=re.M)[1:]
    assert len(decisions) > 9
    for decision in decisions:
        title, _, body = decision.strip().partition("\n")
        assert re.search(r"\(\d{4}-\d\d-\d\d\)$", title), title
        assert "Refused: " in body, title
        assert "Reopen when " in body, title
        assert len(body.strip().splitlines()) <= DECISION_LINES_MAX, title


def test_documents__files_that_they_name_exist() -> None:
    """Every path in a document is a file or folder of the repository."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"\b((?:flows|scoring|sinks|config|tests|benchmarks|docs)/[\w./-]*\w)", text)
        missing = [name for name in named if not (ROOT / name).exists()]
        assert not missing, path


def test_documents__links_lead_somewhere() -> None:
    """Every link within the repository names a file, and a heading of it where it says so."""
    for path in DOCUMENTS:
        for link in links(path):
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), (path.name, link)
            if anchor:
                assert anchor in anchors(target), (path.name, link)


def test_documents__every_schema_is_named() -> None:
    """Whoever checks messages or files finds what to check them with."""
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    schemas = {path.name for path in (ROOT / "config" / "schemas").glob("*.schema.json")}
    assert len(schemas) > 7
    assert not {name for name in schemas if f"config/schemas/{name})" not in pages}


def test_documents__metrics_that_they_name_exist() -> None:
    """Every metric in a document is one that a process serves."""
    families = [
        *Metrics("tierwise").registry.collect(),
        *WebhookMetrics("tierwise", "1", ["one"]).registry.collect(),
        *HopWatch("tierwise", "profiles", "1").registry.collect(),
    ]
    served = {name for family in families for name in (family.name, f"{family.name}_total")}
    for path in DOCUMENTS:
        named = set(re.findall(r"`(tierwise_\w+)`", path.read_text(encoding="utf-8")))
        assert not named - served, path


def test_consumer__is_ten_lines_of_python() -> None:
    """The consumer that drops repeats is whole and short; an integration test runs it."""
    code = re.search(r"```python\n(import json.*?)```", text_of("docs/contract.md"), re.S)
    assert code
    ast.parse(code[1])
    assert len(code[1].splitlines()) <= CONSUMER_LINES_MAX


def test_documents__code_refers_to_places_that_exist() -> None:
    """A document that a source file points to is there, with the heading."""
    sources = [
        path for room in ("flows", "scoring", "sinks", "config") for path in (ROOT / room).rglob("*.py")
    ]
    for path in sources:
        for name, anchor in re.findall(r"(docs/\w+\.md)(?:#([\w-]+))?", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), (path, name)
            assert not anchor or anchor in anchors(ROOT / name), (path, anchor)
