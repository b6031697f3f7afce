"""The schemas of messages at work. This file checks events, changes and dead letters against them."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from config.schema_check import schema
from sinks.outbox import OutboxEntry

NAMES = ("event", "change", "dead-letter", "profile", "webhook")


@cache
def validator(reference: str) -> Draft202012Validator:
    """Answer the validator of a shipped schema, or of a part of it: `event`, `event#/$defs/order`."""
    registry = Registry().with_resources((schema(name)["$id"], resource(name)) for name in NAMES)
    name, _, part = reference.partition("#")
    return Draft202012Validator({"$ref": f"{schema(name)['$id']}#{part}"}, registry=registry)


def resource(name: str) -> Resource[Any]:
    """Answer a shipped schema under its own id."""
    return Resource.from_contents(schema(name))


def problems(reference: str, document: object) -> list[str]:
    """List what is wrong with a document, where and which rule."""
    return [f"{error.json_path}: {error.validator}" for error in validator(reference).iter_errors(document)]


def headers_of(entry: OutboxEntry) -> dict[str, str]:
    """Answer the headers as a subscriber reads them."""
    assert len({name for name, _ in entry.headers}) == len(entry.headers)
    return {name: value.decode() for name, value in entry.headers}


def dead_letter_of(entry: OutboxEntry) -> dict[str, Any]:
    """Spell a dead letter as its schema wants it: key and value with one character a byte."""
    assert entry.value is not None
    document: dict[str, Any] = {"headers": headers_of(entry), "value": entry.value.decode("latin-1")}
    return document if entry.key is None else document | {"key": entry.key.decode("latin-1")}
