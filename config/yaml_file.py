"""This file holds how YAML is read: one mapping of plain values, nothing guessed, nothing overwritten."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from config.problems import PathPart, Problem, path_text


class _Loader(yaml.SafeLoader):
    """
    Read scalars by the YAML 1.2 core schema.

    By YAML 1.1 a tag's rung `off` would be false, `1:30` a number and `2026-01-01` a date.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _decimal_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal_int)


def read_document(text: str) -> tuple[dict[str, Any], list[Problem]]:
    """
    Answer a YAML text as a mapping, with the problems that lie in the writing itself.

    A key written twice and a key that is not text are problems; what can be read is answered all the
    same, so that the rules behind can report theirs in the same run.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, []
        problems = list(_problems_of_node(node, (), ()))
        if any(problem.message.startswith("contains itself") for problem in problems):
            return {}, problems
        document = loader.construct_document(node)
    except yaml.YAMLError as error:
        return {}, [Problem("$", f"is not YAML: {_one_line(error)}")]
    except (ValueError, RecursionError) as error:
        return {}, [Problem("$", f"is not YAML: {error}")]
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        return {}, [Problem("$", f"must be a mapping of keys, got {type(document).__name__}")]
    return _with_text_keys(document), problems


def read_file(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Answer a YAML file as read_document does; a file that cannot be read is a problem as well."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return {}, [Problem("$", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return {}, [Problem("$", f"must be UTF-8, byte {error.start} is not")]
    return read_document(text)


def _problems_of_node(
    node: yaml.Node, path: tuple[PathPart, ...], above: tuple[yaml.Node, ...]
) -> Iterator[Problem]:
    if any(node is other for other in above):
        yield Problem(path_text(path), f"contains itself, line {node.start_mark.line + 1}")
        return
    above = (*above, node)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _problems_of_node(item, (*path, index), above)
    if not isinstance(node, yaml.MappingNode):
        return
    line_of: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(key_node.value)
        if not isinstance(key_node, yaml.ScalarNode):
            yield Problem(path_text(path), f"has a key that is not text, line {line}")
            continue
        if key_node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            yield Problem(path_text(path), f"has the key {key}, which is not text, line {line}; quote it")
        if key in line_of:
            yield Problem(path_text((*path, key)), f"is written twice, lines {line_of[key]} and {line}")
        line_of[key] = line
        yield from _problems_of_node(value_node, (*path, key), above)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(item) for item in value]
    return value


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = error.problem or ""
        if problem.startswith(("found undefined alias", "could not determine a constructor")):
            # Not what stands there: it may be a password that begins with one of these.
            problem = "has an unquoted text that begins with * or !"
        return f"{problem}, line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
