"""The table of a saved match, as it stands in docs/performance.md. This file prints it.

python -m benchmarks.peers.table FILE
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

HEAD = (
    "| pipeline | events/s | of consume + value | CPU s per million / in Redis "
    "| CPU, ours on the same events = 1 | events timed |",
    "|---|---|---|---|---|---|",
)
OURS = "Tierwise"
CEILING = "consume + value"
WHY_LETTERS = 120


def table(record: dict[str, Any]) -> str:
    """Answer a row for each that ran, the fastest first, and then those that did not, with the reason."""
    results = record["results"]
    ours = results[OURS]["cpu_s_per_million"]
    names = sorted(results, key=lambda name: -median(results[name]["events_per_s"]))
    rows = [_row(name, results[name], ours) for name in names]
    rows += [f"| {name} | not run: {short(why)} | | | | |" for name, why in record["not_run"].items()]
    return "\n".join((*HEAD, *rows))


def times_ours(found: dict[str, Any], ours: Sequence[float]) -> float:
    """Answer the CPU of a pipeline as a multiple of ours, on the events that it had, or else on all."""
    pairs = zip(found["cpu_s_per_million"], found.get("our_cpu_s_per_million", ours), strict=True)
    return median(theirs / same for theirs, same in pairs)


def _row(name: str, found: dict[str, Any], ours: Sequence[float]) -> str:
    rates, cpu = found["events_per_s"], median(found["cpu_s_per_million"])
    spread = f"{median(rates):,.0f} ({min(rates):,} to {max(rates):,})"
    share = f"{median(found['share_of_ceiling']):.2g}"
    store = found.get("store_cpu_s_per_million")
    seconds = f"{digits(cpu)} / {digits(median(store)) if store else '-'}"
    cells = (
        name,
        spread,
        share,
        seconds,
        digits(times_ours(found, ours)),
        f"{median(found['messages']):,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def digits(number: float) -> str:
    """Write a number with three significant digits, or whole."""
    return f"{number:.3g}" if number < 1_000 else f"{number:,.0f}"


def short(why: str) -> str:
    """Answer the line of an error that says most: the last, which names it, or else the first."""
    lines = why.strip().splitlines()
    return (lines[-1] if "Error" in lines[-1] else lines[0]).replace("|", "/")[:WHY_LETTERS]


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
