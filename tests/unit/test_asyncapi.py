"""That docs/asyncapi.yaml is whole, says what the code does, and shows only what is valid."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from config.settings import read_settings
from sinks import change_topic, dead_letters
from tests.unit.docs_examples import DOCUMENTS, ROOT
from tests.unit.message_schemas import NAMES, headers_of, problems
from tests.unit.test_change_topic import CHANGE
from tests.unit.test_message_schemas import FULL_LETTER

PATH = ROOT / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
FORMAT = "application/schema+json;version=draft-2020-12"
KEYS = {
    "": {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"},
    "channel": {"address", "description", "messages"},
    "operation": {"action", "summary", "channel", "messages"},
    "message": {"title", "summary", "contentType", "headers", "payload", "bindings", "examples"},
    "example": {"name", "summary", "headers", "payload"},
}


def references(part: Any) -> Iterator[str]:
    """List every `$ref` in a document."""
    if isinstance(part, dict):
        if "$ref" in part:
            assert set(part) == {"$ref"}, part
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def resolved(reference: str) -> Any:
    """Answer what a `$ref` of the document leads to; KeyError or OSError where nothing is."""
    name, _, pointer = reference.partition("#")
    found: Any = DOCUMENT
    if name:
        found = json.loads((PATH.parent / name).resolve(strict=True).read_text(encoding="utf-8"))
    for key in pointer.split("/")[1:]:
        found = found[key]
    return found


def checked(schema: dict[str, Any], value: object) -> list[str]:
    """Check a value against a payload, header or key of the document, whichever way its schema is given."""
    if "schemaFormat" in schema:
        assert schema["schemaFormat"] == FORMAT
        schema = schema["schema"]
    reference = schema.get("$ref", "")
    if reference and not reference.startswith("#"):
        path, _, part = reference.partition("#")
        return problems(f"{Path(path).name.removesuffix('.schema.json')}#{part}", value)
    schema = resolved(reference) if reference else schema
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def test_asyncapi__is_built_as_version_3_says() -> None:
    """Nothing stands where it does not belong, and every reference leads somewhere."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert set(DOCUMENT) == KEYS[""]
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for channel in DOCUMENT["channels"].values():
        assert set(channel) == KEYS["channel"]
    for operation in DOCUMENT["operations"].values():
        assert set(operation) == KEYS["operation"]
        assert operation["action"] in ("send", "receive")
        messages = resolved(operation["channel"]["$ref"])["messages"]
        shown = [
            message["$ref"].removeprefix(operation["channel"]["$ref"]) for message in operation["messages"]
        ]
        assert shown == [f"/messages/{name}" for name in messages]
    for message in MESSAGES.values():
        assert set(message) <= KEYS["message"]
        assert {"title", "payload", "bindings", "examples"} <= set(message)
        assert all(set(example) <= KEYS["example"] for example in message["examples"])
    for reference in references(DOCUMENT):
        assert resolved(reference) is not None, reference


def test_asyncapi__uses_all_that_it_defines() -> None:
    """Each message is on a channel, each channel in an operation, each schema in use."""
    used = set(references(DOCUMENT))
    for kind in ("messages", "schemas"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used
    assert {f"#/channels/{name}" for name in DOCUMENT["channels"]} <= used
    assert {name for name in NAMES if any(f"/{name}.schema.json" in one for one in used)} == {*NAMES}


def test_asyncapi__topics_are_those_of_the_default_settings() -> None:
    """The addresses are what is used when nobody says otherwise; the first are read, the rest written."""
    settings = read_settings(ROOT / "docs" / "no-such-file.yaml", {})[0]
    topics, parked = settings.topics, settings.webhooks.parked
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    written = [topics.changes, topics.dead_letters, "tierwise.profiles", parked]
    assert [*addresses.values()] == [*topics.input, *written]
    for operation in DOCUMENT["operations"].values():
        address = resolved(operation["channel"]["$ref"])["address"]
        assert operation["action"] == ("receive" if address in topics.input else "send")


@pytest.mark.parametrize("name", MESSAGES)
def test_asyncapi__examples_are_valid(name: str) -> None:
    """What the document shows, its own schemas admit; and they do not admit just anything."""
    message = MESSAGES[name]
    assert message["examples"]
    for example in message["examples"]:
        assert checked(message["payload"], example["payload"]) == []
        if "headers" in example:
            assert checked(message["headers"], example["headers"]) == []
    assert checked(message["payload"], {"seq": 1}) != []


def test_asyncapi__messages_are_those_that_the_code_makes() -> None:
    """Headers, key and value of real messages fit the parts of the document."""
    change, letter = change_topic.entry_of(CHANGE), dead_letters.entry_of(FULL_LETTER, 0)
    gone = change_topic.tombstone_of(b"u42")
    for name, entry in (("change", change), ("tombstone", gone), ("deadLetter", letter)):
        message = MESSAGES[name]
        assert (entry.headers == ()) is ("headers" not in message)
        if entry.headers:
            assert checked(message["headers"], headers_of(entry)) == []
        assert entry.key is not None
        assert checked(message["bindings"]["kafka"]["key"], entry.key.decode("latin-1")) == []
    assert checked(MESSAGES["change"]["payload"], json.loads(change.value or b"")) == []
    assert checked(MESSAGES["deadLetter"]["payload"], (letter.value or b"").decode("latin-1")) == []
    assert checked(MESSAGES["tombstone"]["payload"], gone.value) == []


def shown_documents(text: str) -> Iterator[dict[str, Any]]:
    """List the JSON documents in the code blocks of a page; a block may hold one a line."""
    for block in re.findall(r"```json\n(.*?)```", text, re.S):
        rest = block.lstrip()
        while rest:
            document, size = json.JSONDecoder().raw_decode(rest)
            yield document
            rest = rest[size:].lstrip()


def test_pages__events_and_changes_that_they_show_are_valid() -> None:
    """Every event and change in the README and under docs/ is one by the schemas."""
    shown = []
    for path in DOCUMENTS:
        for document in shown_documents(path.read_text(encoding="utf-8")):
            marks = {"event_time": "event", "ladders": "profile", "seq": "change"}
            kind = next((kind for key, kind in marks.items() if key in document), None)
            if kind:
                shown.append((path.name, kind))
                assert problems(kind, document) == [], (path.name, document)
    assert {
        ("README.md", "event"),
        ("README.md", "change"),
        ("contract.md", "change"),
        ("policy.md", "event"),
    } <= {*shown}
