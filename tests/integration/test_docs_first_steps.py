"""This file runs docs/first-steps.md as a newcomer would: every command, in one terminal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "first-steps.md"
ENDED_WITHIN_S = 240


@pytest.fixture
def terminal(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a terminal with tierwise installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, what in (("tierwise", "-m flows.cli"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {what} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}


def blocks(mark: str) -> list[str]:
    """List the code blocks behind a mark."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"<!-- {mark} -->\n```\w+\n(.*?)```", text, re.DOTALL)


def test_first_steps__do_what_the_page_shows(terminal: dict[str, str], tmp_path: Path) -> None:
    """All commands succeed, one behind the other, and print what is shown; `…` stands for anything."""
    script = "set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n" + "".join(blocks("run"))
    folder = tmp_path / "shop"
    folder.mkdir()
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        shown, errors = shell.communicate(timeout=ENDED_WITHIN_S)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    log = folder / "worker.log"
    assert shell.returncode == 0, shown + errors + log.read_text(encoding="utf-8")
    expected = [line for block in blocks("shown") for line in block.splitlines()]
    assert len(expected) > 8
    found = shown.splitlines()
    for line in expected:
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(pattern, one) for one in found), (line, shown)
        while not re.fullmatch(pattern, found.pop(0)):
            pass
