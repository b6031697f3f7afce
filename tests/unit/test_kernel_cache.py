"""Tests that compiled kernels are kept, and that none is run that its sources would not compile to any more."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.jit import ROOMS_WITH_KERNELS
from tests.conftest import REPOSITORY

MARKS = ("kernel", "inlined", "borrowing", "jit", "intrinsic", "overload")
ROOMS = ("config", "flows", "scoring", "sinks")
CALLEE = "import numba\n\n\n@numba.njit\ndef callee(x):\n    return x + {}\n"
CALLER = """\
from numba import types

from scoring.callee import callee
from scoring.jit import kernel


@kernel(types.int64(types.int64))
def caller(x):
    return callee(x)


print(caller(10), sum(caller.stats.cache_hits.values()))
"""


def run_caller(tree: Path, cache: Path) -> tuple[int, bool]:
    """Run the caller in a process of its own; answer what it says, and whether it was found compiled."""
    code = "import scoring.jit, scoring.caller"
    env = {"TIERWISE_KERNEL_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=env, capture_output=True, text=True, check=True
    )
    answer, hits = map(int, done.stdout.split())
    return answer, bool(hits)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Lay out a small program: the real decorator, and a kernel that calls a function of another file."""
    room = tmp_path / "tree" / "scoring"
    room.mkdir(parents=True)
    (room / "__init__.py").touch()  # Otherwise an installed package of that name goes before it.
    (room / "jit.py").write_bytes((REPOSITORY / "scoring" / "jit.py").read_bytes())
    (room / "callee.py").write_text(CALLEE.format(10), encoding="utf-8")
    (room / "caller.py").write_text(CALLER, encoding="utf-8")
    return room.parent


def test_cache__keeps_kernels_until_a_source_changes(tree: Path, tmp_path: Path) -> None:
    """
    What a kernel calls in another file has changed: it is compiled anew, and the old one is there to go back to.

    Numba alone looks at the file of the kernel and would go on running what the old callee was.
    """
    cache, callee = tmp_path / "cache", tree / "scoring" / "callee.py"
    assert run_caller(tree, cache) == (20, False)
    assert run_caller(tree, cache) == (20, True)
    callee.write_text(CALLEE.format(1000), encoding="utf-8")
    assert run_caller(tree, cache) == (1010, False)
    callee.write_text(CALLEE.format(10), encoding="utf-8")
    assert run_caller(tree, cache)[0] == 20
    assert len(list(cache.iterdir())) == 2


def test_cache__name_covers_every_source_of_a_kernel() -> None:
    """Whatever a kernel is made of lies in files that are hashed: its own, and all of ours that it imports."""
    hashed = {path for room in ROOMS_WITH_KERNELS for path in (REPOSITORY / room).glob("*.py")}
    left = [path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py") if has_kernels(path)]
    assert len(left) > 10
    looked: set[Path] = set()
    while left:
        path = left.pop()
        assert path in hashed, path
        looked.add(path)
        left += imported(path) - looked


def has_kernels(path: Path) -> bool:
    """Tell whether a file has functions that numba compiles."""
    functions = (one for one in ast.walk(ast.parse(path.read_bytes())) if isinstance(one, ast.FunctionDef))
    return any(
        mark in ast.unparse(using) for one in functions for using in one.decorator_list for mark in MARKS
    )


def imported(path: Path) -> set[Path]:
    """List the files of ours that a file imports from."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = {one.module for one in nodes if isinstance(one, ast.ImportFrom) and one.module}
    names |= {alias.name for one in nodes if isinstance(one, ast.Import) for alias in one.names}
    files = {(REPOSITORY / name.replace(".", "/")).with_suffix(".py") for name in names}
    return {file for file in files if file.exists()}
