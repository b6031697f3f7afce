"""This file holds the structural check: a document against a shipped JSON Schema, problem by problem."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from config.durations import parse_duration
from config.problems import PathPart, Problem, path_text, shown, suggestion

SCHEMAS = Path(__file__).parent / "schemas"

_NUMBER_MAX = 10**300  # Beyond it, a whole number does not fit a float; nan is not below it either.

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@dataclass(frozen=True, slots=True)
class StructuralProblems:
    """Hold the problems of one document's structure, and which of its parts are fit for further rules."""

    problems: tuple[Problem, ...]
    broken: frozenset[tuple[PathPart, ...]]

    def sound(self, *path: PathPart) -> bool:
        """Tell whether nothing at, below or around a path is of the wrong shape; unknown keys do no harm."""
        size = len(path)
        return not any(spot[:size] == path or path[: len(spot)] == spot for spot in self.broken if spot)


@cache
def schema(name: str) -> dict[str, Any]:
    """Answer a shipped JSON Schema: `policy`, `settings`, `format`, or of a message `event`, `change` and so on."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return loaded


def check_structure(document: dict[str, Any], schema_name: str) -> StructuralProblems:
    """Compare a document with a shipped schema and answer every problem, in the order of the document."""
    problems: dict[Problem, None] = {}
    broken: set[tuple[PathPart, ...]] = set()
    for path in _not_finite(document, ()):
        problems[Problem(path_text(path), "must be a finite number")] = None
        broken.add(path)
    for error in Draft202012Validator(schema(schema_name)).iter_errors(document):
        path = tuple(error.absolute_path)
        if (
            path in broken
            and error.validator != "additionalProperties"
            and isinstance(error.instance, int | float)
        ):
            continue  # Said already: not finite.
        if error.validator == "additionalProperties":
            problems.update(dict.fromkeys(_unknown_keys(error, path)))
        elif error.validator == "required":
            for key in _missing_keys(error):
                problems[Problem(path_text((*path, key)), f"is missing{_purpose(error.schema, key)}")] = None
                broken.add((*path, key))
        else:
            if "propertyNames" in error.absolute_schema_path:
                path = (*path, error.instance)
            problems[Problem(path_text(path), _message(error))] = None
            broken.add(path)
    return StructuralProblems(tuple(problems), frozenset(broken))


def _unknown_keys(error: ValidationError, path: tuple[PathPart, ...]) -> Iterator[Problem]:
    known = error.schema.get("properties", {})
    advice = error.schema.get("x-advice", {})
    for key in error.instance:
        if key not in known:
            hint = (
                f"; {advice[key]}"
                if key in advice
                else suggestion(key, known) or f"; known: {', '.join(known)}"
            )
            yield Problem(path_text((*path, key)), f"unknown key{hint}")


def _missing_keys(error: ValidationError) -> list[str]:
    return [key for key in error.validator_value if key not in error.instance]


def _message(error: ValidationError) -> str:
    rule, value, got = error.validator, error.validator_value, shown(error.instance)
    if error.schema.get("x-secret"):
        got = type(error.instance).__name__
    if rule in ("pattern", "type") and error.schema.get("x-kind") == "duration":
        return _duration_message(error.instance)
    if "x-says" in error.schema:
        return f"{error.schema['x-says']}, got {got}"
    match rule:
        case "type":
            types = [value] if isinstance(value, str) else value
            return (
                f"must be {' or '.join(_TYPE_NAMES[name] for name in types)}, got {got}{_quote_hint(error)}"
            )
        case "enum":
            near = suggestion(str(error.instance), value)
            return f"must be {_one_of(value)}, got {got}{near}"
        case "minimum":
            return f"must be at least {value}, got {got}"
        case "maximum":
            return f"must be at most {value}, got {got}"
        case "exclusiveMinimum":
            return f"must be above {value}, got {got}"
        case "minItems" | "minProperties" | "minLength":
            return f"must not be empty, got {got}" if value == 1 else f"must hold at least {value}, got {got}"
        case "maxItems" | "maxProperties" | "maxLength":
            return f"must hold at most {value}, got {got}"
        case "uniqueItems":
            repeated = next(item for item in error.instance if error.instance.count(item) > 1)
            return f"must not name anything twice, got {shown(repeated)} twice"
    return error.message


def _duration_message(instance: object) -> str:
    if not isinstance(instance, str):
        return f"must be a duration with a unit such as 30d, 24h, 15m, 10s or 250ms, got {shown(instance)}"
    try:
        parse_duration(instance)
    except ValueError as error:
        return str(error)
    return f"must be a duration such as 30d, 24h, 15m, 10s or 250ms, got {instance!r}"


def _purpose(where: dict[str, Any], key: str) -> str:
    description = where.get("properties", {}).get(key, {}).get("description")
    return f": {description}" if description else ""


def _quote_hint(error: ValidationError) -> str:
    wanted = error.validator_value
    plain = isinstance(error.instance, bool | int | float)
    return "; quote it if text is meant" if plain and (wanted == "string" or "string" in wanted) else ""


def _one_of(values: list[object]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _not_finite(value: object, path: tuple[PathPart, ...]) -> Iterator[tuple[PathPart, ...]]:
    if isinstance(value, int | float) and not abs(value) <= _NUMBER_MAX:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _not_finite(item, (*path, index))
