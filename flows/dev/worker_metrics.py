"""Read what a worker tells about itself. This file knows just enough of the Prometheus text format."""

import urllib.request
from typing import Any

CONSUMED = "tierwise_messages_consumed_total"
APPLIED = "tierwise_messages_applied_total"
DUPLICATE = "tierwise_messages_duplicate_total"
IGNORED = "tierwise_messages_ignored_total"
DEAD_LETTERED = "tierwise_messages_dead_lettered_total"
OUTBOX_PENDING = "tierwise_outbox_pending"


def fetch_metrics(port: int, timeout_s: float = 2.0) -> dict[str, float] | None:
    """Return each metric of the worker on this port, summed over its labels; None while nobody answers."""
    # A proxy from the environment has no business between us and this machine.
    fetch: Any = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with fetch(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
            return summed(answer.read().decode())
    except OSError:
        return None


def summed(text: str) -> dict[str, float]:
    """Add up the samples of each name in Prometheus text."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        value = line.rpartition("}")[2].split() if "{" in line else line.split()[1:]
        sums[name] = sums.get(name, 0.0) + float(value[0])
    return sums
