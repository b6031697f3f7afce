"""What came of a match. This file sums up the rounds of each, and prints them."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.peers.match import Figures


def summary(turns: Sequence[Figures], ceilings: Sequence[Figures]) -> dict[str, Any]:
    """Answer what one made of it, each list in the order of rounds."""
    rates = [one["messages"] / one["wall_s"] for one in turns]
    alone = [one["messages"] / one["wall_s"] for one in ceilings]
    cpu = {
        f"{name}_per_million": [round(one[name] / one["messages"] * 1e6, 3) for one in turns]
        for name in ("cpu_s", "our_cpu_s", "store_cpu_s")
        if name in turns[0]
    }
    shares = [round(rate / most, 4) for rate, most in zip(rates, alone)]
    return {
        "messages": [one["messages"] for one in turns],
        "events_per_s": list(map(round, rates)),
        **cpu,
        "share_of_ceiling": shares,
        "scores_apart": max(one.get("scores_apart", 0.0) for one in turns),
    }


def report(results: dict[str, dict[str, Any]]) -> None:
    """Print a line for each."""
    for name, one in results.items():
        rates, cpu = one["events_per_s"], one["cpu_s_per_million"]
        print(
            f"{name:24} {median(rates):>10,.0f} events/s ({min(rates):,} to {max(rates):,})  "
            f"{median(cpu):7.2f} CPU s per million  {median(one['share_of_ceiling']):.3f} of the ceiling"
        )
