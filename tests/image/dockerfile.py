"""This file reads a Dockerfile: its stages, and the instructions of each."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

OPTION = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word, its `--options`, and what follows them."""

    word: str
    options: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """Split the text: a JSON list as it says, anything else at its blanks."""
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def only(self, word: str) -> Instruction:
        """Answer the one instruction of this word."""
        (found,) = (one for one in self.instructions if one.word == word)
        return found


def read_stages(path: Path) -> list[Stage]:
    """Read all stages, in their order."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        instruction = _instruction(word, rest.strip())
        if word == "FROM":
            base, *named = instruction.words
            stages.append(Stage(base, named[-1] if named else str(len(stages))))
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instruction(word: str, rest: str) -> Instruction:
    options = {}
    while found := OPTION.match(rest):
        options[found[1]] = found[2]
        rest = rest[found.end() :]
    return Instruction(word, options, rest)
