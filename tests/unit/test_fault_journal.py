"""Tests of what lets an interrupted campaign go on."""

import json
from pathlib import Path

from tests.faults.audit import Audit
from tests.faults.campaign import Result
from tests.faults.journal import Journal

FOUND = Result(hits=3, misses=1, found=Audit(users=1, repeats=2, changes=40), recoveries_s=[0.5, 2.0])


def test_journal__gives_back_what_was_finished(tmp_path: Path) -> None:
    """A world's result is there for the next run, whole; other worlds are not."""
    path = tmp_path / "new" / "soak.jsonl"
    Journal(path).add("kill x3 seed 1", FOUND)
    assert Journal(path).get("kill x3 seed 1") == FOUND
    assert Journal(path).get("kill x3 seed 2") is None


def test_journal__forgets_what_other_code_found(tmp_path: Path) -> None:
    """A result of another state of the code does not count."""
    path = tmp_path / "soak.jsonl"
    Journal(path).add("kill x3 seed 1", FOUND)
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"code": "other"}) + "\n")
    assert Journal(path).get("kill x3 seed 1") is None


def test_journal__keeps_nothing_of_a_world_that_was_never_hit(tmp_path: Path) -> None:
    """What could not even begin is tried again."""
    path = tmp_path / "soak.jsonl"
    Journal(path).add("kill x3 seed 1", Result(failure="no port"))
    assert Journal(path).get("kill x3 seed 1") is None
