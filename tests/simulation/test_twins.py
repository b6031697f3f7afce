"""The model stays next to the code: this file holds the table of who stands for what to both."""

import ast
from dataclasses import fields
from functools import cache, reduce
from importlib import import_module
from pathlib import Path

import pytest

from tests.simulation.protocol import MUTANTS, REAL, Protocol
from tests.simulation.twins import SHOWN_APART, STEPS, SWITCHES

ROOT = Path(__file__).resolve().parents[2]


@cache
def names_in(path: str) -> set[str]:
    """List the functions, classes and methods of a source file, without importing it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            names |= {f"{owner.name}.{node.name}" for node in owner.body if isinstance(node, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("place", sorted({*STEPS.values(), *SWITCHES.values()}))
def test_twins__real_code_exists(place: str) -> None:
    """Whoever renames or removes a function of the protocol looks at the model."""
    path, name = place.split()
    assert name in names_in(path)


@pytest.mark.parametrize("step", STEPS)
def test_twins__model_exists(step: str) -> None:
    """A step of the table is one of the model."""
    module, *names = step.split(".")
    reduce(getattr, names, import_module(f"tests.simulation.{module}"))


def test_twins__every_switch_has_a_place_and_a_mutant() -> None:
    """Each decision of the protocol is made somewhere in the code, and some mutant gets it wrong."""
    switches = {one.name for one in fields(Protocol)}
    assert switches == set(SWITCHES)
    wrong = {
        name
        for mutant in MUTANTS.values()
        for name in switches
        if getattr(mutant.protocol, name) != getattr(REAL, name)
    }
    assert wrong == set(SWITCHES) - SHOWN_APART
