"""What a command that carries messages tells of itself. This file holds its metrics and its signs of life."""

import re
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

LIVE_WITHIN_S = 120.0


class HopWatch:
    """
    Own the registry of one process; all is there from the start, so that a rate sees the first message.

    Args:
        name: of the command, which the metrics begin with behind the prefix.
    """

    def __init__(self, prefix: str, name: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self._start = f"{re.sub(r'[^a-zA-Z0-9_]', '_', prefix)}_{name}"
        self._read = self._counter("read", "Messages that were read, and what came of them is committed.")
        self._written = self._counter("written", "Messages that were written and are committed.")
        self._undone = self._counter("undone", "Transactions that were rolled back, to be made again.")
        self._lag = self._gauge(
            "lag_messages", "Messages from the committed offsets of our partitions to the ends."
        )
        self._owned = self._gauge("owned_partitions", "Partitions that the group has given this process.")
        self._gauge("build_info", "Version, always 1.", "version").labels(version).set(1)
        self._turned_s: float | None = None
        self._is_ready = False

    def is_live(self) -> bool:
        """Tell whether it goes round, or has not begun to."""
        return self._turned_s is None or time.monotonic() - self._turned_s < LIVE_WITHIN_S

    def is_ready(self) -> bool:
        """Tell whether the group has spoken."""
        return self._is_ready

    def turned(self) -> None:
        """Note a sign of life."""
        self._turned_s = time.monotonic()

    def committed(self, read: int, written: int) -> None:
        """Note what a transaction held that counts."""
        self._read.inc(read)
        self._written.inc(written)

    def rolled_back(self) -> None:
        """Note a transaction that did not come to count."""
        self._undone.inc()

    def looked(self, behind: Mapping[int, int] | None) -> None:
        """Note how many messages of each of our partitions are not committed; None while the group has not spoken."""
        self._is_ready = behind is not None
        self._owned.set(len(behind or ()))
        self._lag.set(sum((behind or {}).values()))

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"{self._start}_{name}", text, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{self._start}_{name}", text, labels, registry=self.registry)
