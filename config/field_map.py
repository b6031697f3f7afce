"""This file holds how a field map is read: a YAML file that says where native fields stand in other messages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from config.draft import Draft
from config.field_paths import MESSAGE_HASH, MESSAGE_TIME, Step, parse_path
from config.problems import PathPart, Problem
from config.yaml_file import read_file

SHIPPED = Path(__file__).parent / "formats"
MESSAGE_PREFIX = "message:"
SPECIAL = {MESSAGE_TIME: "event_time", MESSAGE_HASH: "event_id"}
"""What may stand in place of a path, and for which field."""


@dataclass(frozen=True, slots=True)
class Source:
    """
    Say where a field may stand, and how it is written there.

    Attributes:
        text: the path as it was written.
        steps: none for what stands in place of a path.
        unit: of a number that is a time; None where it has to be as native events have it.
        minus: what is taken off an amount.
        as_text: a number counts as its digits.
        values: texts that mean others.
    """

    text: str
    steps: tuple[Step, ...]
    unit: str | None = None
    minus: tuple[tuple[str, tuple[Step, ...]], ...] = ()
    as_text: bool = False
    values: Mapping[str, str] = field(default_factory=dict)


Fields = Mapping[str, tuple[Source, ...]]
"""Sources by native field; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """Say which type a named event has, and which of its fields stand elsewhere than those of others."""

    type: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class FieldMap:
    """
    Hold one format.

    Attributes:
        source: how settings name it: a shipped format, or a file.
        events: None where names of events are types.
    """

    name: str
    source: str
    reads: Literal["json", "cloudevents"]
    exactly_one: tuple[tuple[str, tuple[Step, ...]], ...]
    absent: frozenset[str]
    currency: tuple[Source, ...]
    fields: Fields
    events: Mapping[str, EventRule] | None

    @property
    def reads_headers(self) -> bool:
        """Tell whether the value of a message is not all that is read."""
        return self.reads == "cloudevents"


def shipped_formats() -> tuple[str, ...]:
    """Name the formats that ship."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def read_field_map(path: Path, source: str) -> tuple[FieldMap | None, list[Problem]]:
    """Answer a field map and its problems; with a problem there is no map."""
    document, problems = read_file(path)
    if problems and not document:
        return None, problems
    draft = Draft(document, "format")
    found = FieldMap(
        name=draft.value("format", default=""),
        source=source,
        reads=draft.value("reads", default="json"),
        exactly_one=_paths(draft, "exactly_one"),
        absent=frozenset(draft.value("absent", default=())),
        currency=_sources(draft, ("currency",), "currency"),
        fields=_fields(draft, ("fields",)),
        events=_events(draft),
    )
    if found.reads == "cloudevents":
        _refuse_hash(draft)
    problems = [*problems, *draft.problems]
    return (None, problems) if problems else (found, [])


def _events(draft: Draft) -> Mapping[str, EventRule] | None:
    names = draft.keys("events")
    if not names:
        return None
    return {name: _event(draft, name) for name in names}


def _event(draft: Draft, name: str) -> EventRule:
    rule = draft.value("events", name, default="")
    if isinstance(rule, str):
        return EventRule(rule, {})
    fields = _fields(draft, ("events", name, "fields"))
    if "type" in fields:
        draft.report(("events", name, "fields", "type"), "is said by the event's own type; leave it out")
    return EventRule(draft.value("events", name, "type", default=""), fields)


def _fields(draft: Draft, place: tuple[PathPart, ...]) -> Fields:
    return {name: _sources(draft, (*place, name), name) for name in draft.keys(*place)}


def _sources(draft: Draft, place: tuple[PathPart, ...], name: str) -> tuple[Source, ...]:
    written = draft.value(*place)
    if written is None:
        return ()
    if not isinstance(written, list):
        return tuple(_source(draft, place, name, written))
    return tuple(one for n, item in enumerate(written) for one in _source(draft, (*place, n), name, item))


def _source(draft: Draft, place: tuple[PathPart, ...], name: str, written: Any) -> Iterator[Source]:
    """Answer the source, or nothing and put on record what is wrong with it."""
    said: dict[str, Any] = {"path": written} if isinstance(written, str) else written
    at = place if isinstance(written, str) else (*place, "path")
    text: str = said["path"]
    if text.startswith(MESSAGE_PREFIX):
        if _is_special(draft, at, name, text, len(said) > 1):
            yield Source(text, ())
        return
    steps = _steps(draft, at, text)
    minus = [
        (part, _steps(draft, (*place, "minus", n), part)) for n, part in enumerate(said.get("minus", ()))
    ]
    yield Source(
        text=text,
        steps=steps,
        unit=said.get("unit"),
        minus=tuple(minus),
        as_text=said.get("as") == "text",
        values=said.get("values", {}),
    )


def _is_special(draft: Draft, place: tuple[PathPart, ...], name: str, text: str, has_more: bool) -> bool:
    if SPECIAL.get(text) != name:
        known = [special for special, meant in SPECIAL.items() if meant == name]
        wanted = f"a path or {known[0]}" if known else "a path"
        draft.report(place, f"must be {wanted}, got {text!r}")
        return False
    if has_more:
        draft.report(place, f"{text} stands alone, without other keys")
        return False
    return True


def _refuse_hash(draft: Draft) -> None:
    written = draft.value("fields", "event_id", default=())
    if MESSAGE_HASH in (written if isinstance(written, list) else [written]):
        draft.report(("fields", "event_id"), f"{MESSAGE_HASH} does not see headers; a CloudEvent has an id")


def _paths(draft: Draft, key: str) -> tuple[tuple[str, tuple[Step, ...]], ...]:
    return tuple((text, _steps(draft, (key, n), text)) for n, text in enumerate(draft.value(key, default=())))


def _steps(draft: Draft, place: tuple[PathPart, ...], text: str) -> tuple[Step, ...]:
    try:
        return parse_path(text)
    except ValueError as error:
        draft.report(place, str(error))
        return ()
