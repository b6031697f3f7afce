"""What the documents show. This file finds their blocks, tables and links, and scores their examples."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from scoring.commit_plan import CommitPlan
from scoring.decoder import Decoder
from scoring.events import LadderChange
from scoring.policy import Policy
from scoring.shard import Shard
from scoring.tables import compile_policy

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FAR_MS = 4_000_000_000_000


def text_of(name: str) -> str:
    """Read a document by its path from the top of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def example(name: str, label: str) -> str:
    """Answer the code block behind `<!-- example:label -->`."""
    found = re.search(rf"<!-- example:{label} -->\n```\w+\n(.*?)```", text_of(name), re.DOTALL)
    assert found, (name, label)
    return found[1]


def table_rows(name: str, label: str) -> list[list[str]]:
    """Answer the cells of the table behind `<!-- example:label -->`, without its head."""
    found = re.search(rf"<!-- example:{label} -->\n((?:\|.*\n)+)", text_of(name))
    assert found, (name, label)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]


def code_spans(name: str) -> set[str]:
    """List everything that a document writes as code, in line."""
    return set(re.findall(r"`([^`\n]+)`", text_of(name)))


def anchors(path: Path) -> set[str]:
    """List the anchors that a document's headings make."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """List the targets of a document's links to its neighbours."""
    targets = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target]


def scored(
    policy: Policy, events: list[dict[str, Any]], until_ms: int | None
) -> tuple[CommitPlan, list[LadderChange]]:
    """Apply events to a shard of one topic, perhaps let time pass, and take what it would commit."""
    shard = Shard(compile_policy(policy, 1, 3 * 86_400_000), 0, ("events",), 5_000)
    values = [json.dumps(event).encode() for event in events]
    stamps = np.full(len(values), FAR_MS)
    shard.add(Decoder(policy, 300_000).decode(0, 0, values, np.arange(len(values)), stamps))
    shard.advance([True], [False])
    if until_ms is not None:
        shard.fire(until_ms)
    plan = shard.take_commit()
    assert plan is not None
    return plan, [change for chunk in plan.chunks for change in chunk.changes]
