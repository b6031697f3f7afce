"""That the schemas which ship are sound, and say what holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.schema_check import SCHEMAS
from config.settings import load_settings


@pytest.mark.parametrize("name", ["policy", "settings", "format"])
def test_schema__is_a_json_schema_that_refuses_unknown_keys(name: str) -> None:
    """The shipped schemas are sound, and every mapping in them is closed or says what it holds."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert list(Draft202012Validator(schema).iter_errors({"no_such_key": 1}))


def test_schema__states_the_defaults_that_hold(elsewhere: Path) -> None:
    """A default that the schema of settings tells is the one that is used."""
    document = load_settings(None, {}).redacted()
    schema = json.loads((SCHEMAS / "settings.schema.json").read_text())
    for key, inner in schema["properties"].items():
        for name, leaf in inner.get("properties", {}).items():
            assert leaf.get("default", document[key][name]) == document[key][name], (key, name)
        if key != "policy" and "default" in inner:
            assert inner["default"] == document[key], key
