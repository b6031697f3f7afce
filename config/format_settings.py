"""This file holds how settings name a topic's format, one that ships or a file, and how its values are encoded."""

import re
from pathlib import Path

from config.draft import Draft
from config.field_map import SHIPPED, FieldMap, read_field_map, shipped_formats
from config.problems import shown, suggestion, unknown_name

NATIVE = "native"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def read_formats(draft: Draft, inputs: tuple[str, ...], settings_file: Path | None) -> dict[str, FieldMap]:
    """Answer the field map of each topic that is not native; puts every problem of the maps on record."""
    formats = {}
    for topic in draft.keys("topics", "formats"):
        if topic not in inputs:
            draft.report(("topics", "formats", topic), unknown_name("input topic", topic, inputs))
        named = draft.value("topics", "formats", topic, default=NATIVE)
        if named != NATIVE and (found := _read(draft, topic, named, settings_file)):
            formats[topic] = found
    return formats


def read_encodings(draft: Draft, inputs: tuple[str, ...]) -> dict[str, str]:
    """Answer how the values of each topic are encoded that are no plain JSON."""
    for topic in draft.keys("topics", "encodings"):
        if topic not in inputs:
            draft.report(("topics", "encodings", topic), unknown_name("input topic", topic, inputs))
    return dict(draft.value("topics", "encodings", default={}))


def _read(draft: Draft, topic: str, named: str, settings_file: Path | None) -> FieldMap | None:
    place = "topics", "formats", topic
    if _NAME.fullmatch(named):
        known = NATIVE, *shipped_formats()
        if named not in known:
            near = suggestion(named, known) or f"; known: {', '.join(known)}"
            advice = "a map of your own is named by its file, such as maps/shop.yaml"
            draft.report(place, f"no format is named {shown(named)}{near}; {advice}")
            return None
        path = SHIPPED / f"{named}.yaml"
    else:
        path = _beside(Path(named), settings_file)
    found, problems = read_field_map(path, named)
    for problem in problems:
        draft.report(place, f"{path}: {problem}")
    return found


def _beside(named: Path, settings_file: Path | None) -> Path:
    """Find a file beside the settings file, then in the working directory."""
    beside = named if settings_file is None else settings_file.parent / named
    return next((path for path in (beside, named) if path.exists()), beside)
