"""This file holds a document while it is read: what is of the right shape, and the problems found so far."""

from typing import Any

from config.durations import parse_duration
from config.problems import PathPart, Problem, path_text
from config.schema_check import StructuralProblems, check_structure


class Draft:
    """
    Read a document part by part and gather its problems.

    A part of the wrong shape reads as its default, so that the parts around it are still checked; its
    problem is on record, and a document with a problem is never used.
    """

    def __init__(self, document: dict[str, Any], schema_name: str) -> None:
        self.document = document
        self.structure: StructuralProblems = check_structure(document, schema_name)
        self._problems = dict.fromkeys(self.structure.problems)

    @property
    def problems(self) -> list[Problem]:
        """Answer the problems so far, each once."""
        return list(self._problems)

    def report(self, path: tuple[PathPart, ...], message: str) -> None:
        """Put a problem on record."""
        self._problems[Problem(path_text(path), message)] = None

    def value(self, *path: PathPart, default: Any = None) -> Any:
        """Answer what stands at a path, the default if nothing does or if its shape is wrong."""
        if not self.structure.sound(*path):
            return default
        here: Any = self.document
        for part in path:
            if isinstance(part, int) or part in here:
                here = here[part]
            else:
                return default
        return here

    def keys(self, *path: PathPart) -> tuple[str, ...]:
        """Answer the keys of a mapping even where what stands behind them is broken."""
        here: Any = self.document
        for part in path:
            here = here.get(part) if isinstance(here, dict) else None
        return tuple(here) if isinstance(here, dict) else ()

    def length(self, *path: PathPart) -> int:
        """Answer how many items a list has, 0 if it is not one."""
        here: Any = self.document
        for part in path:
            here = here.get(part) if isinstance(here, dict) else None
        return len(here) if isinstance(here, list) else 0

    def duration_ms(self, *path: PathPart, default: int = 0) -> int:
        """Answer the duration at a path in milliseconds."""
        text = self.value(*path)
        if text is None:
            return default
        try:
            return parse_duration(text)
        except ValueError as error:
            self.report(path, str(error))
            return default

    def number_or_seconds(self, *path: PathPart) -> float:
        """Answer what stands at a path: a number as it is, a duration in seconds."""
        value: float | str = self.value(*path)
        return self.duration_ms(*path) / 1000 if isinstance(value, str) else float(value)
