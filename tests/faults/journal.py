"""What a campaign has found so far, on disk, so that one that was interrupted goes on. This file keeps it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.faults.audit import Audit
from tests.faults.campaign import Result

SOURCES = ("config", "flows", "scoring", "sinks", "tests/faults", "tests/integration", "tests/kafka")
KINDS = (".py", ".c", ".yaml", ".xml")


class Journal:
    """
    The results of single worlds by their names, one line each.

    Args:
        path: of the file; None keeps nothing. What another state of the code wrote there does not count.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._code = code()
        self._known: dict[str, Result] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            one = json.loads(line)
            if one["code"] == self._code:
                found = Audit(**one["result"].pop("found"))
                self._known[one["world"]] = Result(**one["result"], found=found)

    def get(self, world: str) -> Result | None:
        """Answer what a world came to, if it was finished."""
        return self._known.get(world)

    def add(self, world: str, result: Result) -> None:
        """Keep what a world came to, once; one that was never hit is to be tried again."""
        if self._path is None or world in self._known or result.hits == 0:
            return
        self._known[world] = result
        with self._path.open("a") as file:
            file.write(json.dumps({"world": world, "code": self._code, "result": asdict(result)}) + "\n")


def code() -> str:
    """Name the state of everything that takes part."""
    content = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in KINDS:
                content.update(path.read_bytes())
    return content.hexdigest()[:16]
