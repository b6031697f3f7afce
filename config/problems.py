"""This file holds how a problem in a settings or policy file is named: where, which rule, what was found."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PathPart = str | int

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """Point at one place of a document, `$.ladders.tier.rungs[2].keep_at`, and say what it must be."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigError(Exception):
    """
    Report every problem of one document at once.

    ConfigError > PolicyError, SettingsError
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__(source, tuple(problems))
        self.source = source
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = len(self.problems)
        heading = f"{type(self).__name__}: {self.source}: {count} problem{'' if count == 1 else 's'}"
        return "\n".join([heading, *(f"  {problem}" for problem in self.problems)])


def path_text(parts: Iterable[PathPart]) -> str:
    """Write a path as JSONPath: `$.a.b[2]`, keys with other characters as `['bootstrap.servers']`."""
    text = "$"
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}"
        else:
            text += f"[{part!r}]"
    return text


def shown(value: object) -> str:
    """Write a value found in a document the way its author wrote it, cut when long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"a mapping with {_listed(value, 4)}" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """Answer `; did you mean 'half_life'?` for a near miss, else the empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown_name(noun: str, word: object, known: Iterable[str]) -> str:
    """Say that a reference leads nowhere, with the near miss or else what there is to choose from."""
    names = list(known)
    near = suggestion(str(word), names)
    if not near and names:
        near = f"; known: {_listed(names, 12)}"
    return f"no {noun} is named {shown(word)}{near}"


def _listed(names: Iterable[object], most: int) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")
