"""The table of a saved match, as it stands in docs/performance.md. This file prints it.

python -m benchmarks.peers.table FILE
"""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

HEAD = (
    "| pipeline | events/s | CPU s per million, its own / Redis | of consume + value | events a round |",
    "|---|---|---|---|---|",
)


def table(record: dict[str, Any]) -> str:
    """Answer a row for each that ran, the fastest first, and then those that did not."""
    ran = sorted(record["results"].items(), key=lambda one: -median(one[1]["events_per_s"]))
    rows = [_row(name, found) for name, found in ran]
    rows += [f"| {name} | not run: {_short(why)} | | | |" for name, why in record["not_run"].items()]
    return "\n".join((*HEAD, *rows))


def _row(name: str, found: dict[str, Any]) -> str:
    rates = found["events_per_s"]
    own, store = (
        f"{median(found[key]):.3g}" if key in found else "-"
        for key in ("cpu_s_per_million", "store_cpu_s_per_million")
    )
    spread = f"{median(rates):,.0f} ({min(rates):,} to {max(rates):,})"
    share = f"{median(found['share_of_ceiling']):.2g}"
    return f"| {name} | {spread} | {own} / {store} | {share} | {median(found['messages']):,.0f} |"


def _short(why: str) -> str:
    first = why.strip().splitlines()[-1] if "Error" in why else why.strip().splitlines()[0]
    return first.replace("|", "/")[:120]


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
