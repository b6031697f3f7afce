"""What prometheus-client lacks. This file holds a histogram that is fed arrays, and a registry shown in one piece."""

from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class WholeRegistry(CollectorRegistry):
    """
    Show what is counted together at one moment: nobody who holds `lock` is half done.

    Without it a scrape could see a message as consumed and not yet what became of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they were at one moment."""
        with self.lock:
            metrics = list(super().collect())
        yield from metrics


class BatchHistogram(Collector):
    """
    Count many values at once; prometheus-client's own takes one a call, which is too dear for each message.

    Args:
        edges: upper bounds of the buckets but the last, rising; a value equal to one is within it.
    """

    def __init__(self, name: str, text: str, edges: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._edges = np.array(edges)
        self._counts = np.zeros(len(edges) + 1, np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: NDArray[np.float64]) -> None:
        """Add values; whoever also collects holds the registry's lock meanwhile."""
        buckets = np.searchsorted(self._edges, values, side="left")
        self._counts += np.bincount(buckets, minlength=len(self._counts))
        self._sum += float(values.sum())

    def collect(self) -> Iterator[Metric]:
        """Yield the one metric."""
        bounds = [*map(floatToGoString, self._edges.tolist()), "+Inf"]
        counts = [float(count) for count in np.cumsum(self._counts)]
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], list(zip(bounds, counts, strict=True)), self._sum)
        yield family
