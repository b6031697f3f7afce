"""This file holds how the environment overrides settings: `TIERWISE_REDIS__URL`, secrets by `..._FILE`.

`__` nests: TIERWISE_HTTP__PORT is http.port. Below kafka, whose keys have dots, every underscore is a dot:
TIERWISE_KAFKA__BOOTSTRAP_SERVERS is kafka['bootstrap.servers']. A list is separated by commas.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.problems import Problem, path_text, suggestion
from config.schema_check import schema

PREFIX = "TIERWISE_"

# Read by scoring/jit.py, which takes no settings.
RESERVED = frozenset({"TIERWISE_KERNEL_CACHE"})

# Kubernetes tells every pod where the service named `tierwise` is; that is not an override.
_SERVICE_LINK = re.compile(r"TIERWISE_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

# librdkafka settings that are themselves names of files.
_KAFKA_FILE_KEYS = frozenset(
    {
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
    }
)

KeyPath = tuple[str, ...]


@dataclass(slots=True)
class Overrides:
    """Hold what the environment says: values by key path, where each came from, and what is wrong with it."""

    values: dict[KeyPath, Any] = field(default_factory=dict)
    variable_of: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_overrides(environ: Mapping[str, str]) -> Overrides:
    """Answer the settings an environment names; a TIERWISE_ variable that names none is a problem."""
    overrides = Overrides()
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in RESERVED or _SERVICE_LINK.fullmatch(variable):
            continue
        path, from_file = _resolve(variable)
        if path is None:
            hint = suggestion(variable, [*_variables(), *(f"{name}_FILE" for name in _variables())])
            overrides.problems.append(Problem(variable, f"names no setting{hint}"))
            continue
        text: str | None = environ[variable]
        if from_file:
            text = _content(variable, environ[variable], overrides)
        if path in overrides.values:
            other = overrides.variable_of[path_text(path)]
            overrides.problems.append(Problem(variable, f"says the same setting as {other}; keep one"))
        elif text is not None:
            overrides.values[path] = _typed(path, text)
            overrides.variable_of[path_text(path)] = variable
    return overrides


def overlaid(document: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Answer a document with the overrides laid over it; the document itself stays as it is."""
    result = dict(document)
    for path, value in overrides.values.items():
        group = result
        for part in path[:-1]:
            inner = group.get(part)
            group[part] = dict(inner) if isinstance(inner, dict) else {}
            group = group[part]
        group[path[-1]] = value
    return result


def _resolve(variable: str) -> tuple[KeyPath | None, bool]:
    path = _path_of(variable)
    if _leaf(path) is not None and (path[0] != "kafka" or not variable.upper().endswith("_FILE")):
        return path, False
    if path[0] == "kafka" and path[-1] in _KAFKA_FILE_KEYS:
        return path, False
    if variable.upper().endswith("_FILE"):
        path = _path_of(variable[: -len("_FILE")])
        if _leaf(path) is not None:
            return path, True
    return None, False


def _path_of(variable: str) -> KeyPath:
    name = variable[len(PREFIX) :].lower()
    if name.startswith("kafka__"):
        return ("kafka", re.sub(r"_+", ".", name.removeprefix("kafka__")))
    return tuple(name.split("__"))


def _leaf(path: KeyPath) -> dict[str, Any] | None:
    """Answer the schema of a single setting, None for a group of settings and for what is not known."""
    here = schema("settings")
    for part in path:
        inner = here.get("properties", {}).get(part)
        if inner is None and here.get("type") == "object" and isinstance(here["additionalProperties"], dict):
            inner = here["additionalProperties"] if part else None
        if inner is None:
            return None
        here = inner
    return None if here.get("type") == "object" else here


def _variables() -> list[str]:
    names = []
    for key, inner in schema("settings")["properties"].items():
        names += [f"{PREFIX}{key}__{name}".upper() for name in inner.get("properties", {})]
        if inner.get("type") != "object":
            names.append(f"{PREFIX}{key}".upper())
    return names


def _content(variable: str, name: str, overrides: Overrides) -> str | None:
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        overrides.problems.append(
            Problem(variable, f"names {name!r}, which cannot be read: {error.strerror}")
        )
    except UnicodeDecodeError:
        overrides.problems.append(Problem(variable, f"names {name!r}, which is not UTF-8 text"))
    return None


def _typed(path: KeyPath, text: str) -> Any:
    wanted = (_leaf(path) or {}).get("type")
    if wanted == "array":
        return [item.strip() for item in text.split(",") if item.strip()]
    if wanted == "integer" and re.fullmatch(r"[-+]?[0-9]{1,18}", text.strip()):
        return int(text)
    return text
