"""This file holds the metrics of `tierwise webhooks`, a series for each endpoint."""

import re
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flows.webhooks.parked import REASONS
from flows.webhooks.request import FAILURES

_ATTEMPT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DELIVERY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0)
"""A plan goes on for days, so this ends later than an attempt."""


class WebhookMetrics:
    """Own the registry of one process; every series exists from the start, so that a rate sees the first failure."""

    def __init__(self, prefix: str, version: str, endpoints: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._start = re.sub(r"[^a-zA-Z0-9_]", "_", prefix)
        self.delivered = self._counter("delivered", "Changes that an endpoint has taken.")
        self.filtered = self._counter("filtered", "Changes that an endpoint did not ask for, and tombstones.")
        self.failed = self._counter("failed", "Attempts that failed, by class.", "class")
        self.attempt_seconds = self._histogram(
            "attempt_seconds",
            "Time from the look-up of the name to the answer, or to its failing.",
            _ATTEMPT_SECONDS,
        )
        self.delivery_seconds = self._histogram(
            "delivery_seconds", "Age of a change by its Kafka timestamp when it was taken.", _DELIVERY_SECONDS
        )
        self.parked = self._counter("parked", "Changes that were given up and parked, by reason.", "reason")
        self.lost = self._counter("lost", "Messages that Kafka deleted before they were read.")
        self.lag_messages = self._gauge(
            "lag_messages", "Messages from the oldest that is not settled to the ends of our partitions."
        )
        self.owned_partitions = self._gauge(
            "owned_partitions", "Partitions that the group has given this process."
        )
        self.pending = self._gauge("pending", "Changes that were read and are not settled.")
        self.retrying = self._gauge(
            "retrying", "Those of them that wait for another attempt, or behind such a one of their user."
        )
        self.oldest_pending_seconds = self._gauge(
            "oldest_pending_seconds",
            "Age of the oldest of them by its Kafka timestamp, 0 when there is none.",
        )
        self.held_seconds = self._gauge(
            "held_seconds", "For how long from now an endpoint has asked to be left alone, 0 when it has not."
        )
        self.disabled = self._gauge("disabled", "1 while an endpoint gets nothing and all goes to be parked.")
        build = Gauge(self._name("build_info"), "Version, always 1.", ("version",), registry=self.registry)
        build.labels(version).set(1)
        for endpoint in endpoints:
            self._begin(endpoint)

    def _begin(self, endpoint: str) -> None:
        for counter in (self.delivered, self.filtered, self.lost):
            counter.labels(endpoint)
        for gauge in (self.lag_messages, self.owned_partitions, self.pending, self.retrying, self.disabled):
            gauge.labels(endpoint)
        for seconds in (self.oldest_pending_seconds, self.held_seconds):
            seconds.labels(endpoint)
        for histogram in (self.attempt_seconds, self.delivery_seconds):
            histogram.labels(endpoint)
        for failure in FAILURES:
            self.failed.labels(endpoint, failure)
        for reason in REASONS:
            self.parked.labels(endpoint, reason)

    def _name(self, name: str) -> str:
        return f"{self._start}_webhooks_{name}"

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(self._name(name), text, ("endpoint", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(self._name(name), text, ("endpoint",), registry=self.registry)

    def _histogram(self, name: str, text: str, edges: Sequence[float]) -> Histogram:
        return Histogram(self._name(name), text, ("endpoint",), buckets=edges, registry=self.registry)
