"""What a benchmark saves."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

FINDS = "import pathlib, sys; from benchmarks.record import save_record as s; s(pathlib.Path(sys.argv[1]), {1: 2})"


def test_record__says_how_to_find_it_again(tmp_path: Path) -> None:
    """Beside the findings stand the command as it was given, and where and on what code it ran."""
    file = tmp_path / "found.json"
    subprocess.run([sys.executable, "-c", FINDS, str(file)], cwd=REPOSITORY, check=True)
    record = json.loads(file.read_text(encoding="utf-8"))
    assert list(record) == ["command", "date", "machine", "python", "commit", "1"]
    assert record["command"] == f"python -c {FINDS} {file}"
    assert record["1"] == 2
