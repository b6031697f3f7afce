"""Whether an Avro schema refers to itself. This file follows the names of its types."""

from collections import defaultdict
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

NAMED = ("record", "error", "enum", "fixed")
PRIMITIVE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

Uses = dict[str, set[str]]
"""For each named type, those that stand in it."""


def is_recursive(documents: Iterable[Any]) -> bool:
    """Tell whether a value by these schemas, which refer to each other by name, can hold one of its own kind."""
    uses: Uses = defaultdict(set)
    for document in documents:
        _collect(document, "", "", uses)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError:
        return True
    return False


def _collect(here: Any, holder: str, namespace: str, uses: Uses) -> None:
    if isinstance(here, str):
        if here not in PRIMITIVE:
            uses[holder].add(_full(here, namespace))
    elif isinstance(here, list):
        for one in here:
            _collect(one, holder, namespace, uses)
    elif isinstance(here, dict):
        if here.get("type") in NAMED and isinstance(here.get("name"), str):
            name = _full(here["name"], here.get("namespace", namespace))
            uses[holder].add(name)
            if here["type"] in ("record", "error"):
                for field in here.get("fields", ()):
                    _collect(field.get("type"), name, name.rpartition(".")[0], uses)
        elif here.get("type") in ("array", "map"):
            _collect(here.get("items", here.get("values")), holder, namespace, uses)
        else:
            _collect(here.get("type"), holder, namespace, uses)


def _full(name: str, namespace: str | None) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
