"""This file holds the metrics of `tierwise webhooks`, a series for each endpoint."""

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from flows.webhooks.parked import REASONS
from flows.webhooks.request import FAILURES


class WebhookMetrics:
    """Own the registry of one process; every series exists from the start, so that a rate sees the first failure."""

    def __init__(self, prefix: str, version: str, endpoints: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._start = re.sub(r"[^a-zA-Z0-9_]", "_", prefix)
        self.delivered = self._counter("delivered", "Changes that an endpoint has taken.")
        self.filtered = self._counter("filtered", "Changes that an endpoint did not ask for, and tombstones.")
        self.failed = self._counter("failed", "Attempts that failed, by class.", "class")
        self.parked = self._counter("parked", "Changes that were given up and parked, by reason.", "reason")
        self.lost = self._counter("lost", "Messages that Kafka deleted before they were read.")
        self.lag_messages = self._gauge(
            "lag_messages", "Messages from the oldest that is not settled to the ends of our partitions."
        )
        self.owned_partitions = self._gauge(
            "owned_partitions", "Partitions that the group has given this process."
        )
        self.pending = self._gauge("pending", "Changes that were read and are not settled.")
        self.oldest_pending_seconds = self._gauge(
            "oldest_pending_seconds",
            "Age of the oldest of them by its Kafka timestamp, 0 when there is none.",
        )
        self.disabled = self._gauge("disabled", "1 while an endpoint gets nothing and all goes to be parked.")
        build = Gauge(self._name("build_info"), "Version, always 1.", ("version",), registry=self.registry)
        build.labels(version).set(1)
        for endpoint in endpoints:
            self._begin(endpoint)

    def _begin(self, endpoint: str) -> None:
        for counter in (self.delivered, self.filtered, self.lost):
            counter.labels(endpoint)
        for gauge in (self.lag_messages, self.owned_partitions, self.pending, self.disabled):
            gauge.labels(endpoint)
        self.oldest_pending_seconds.labels(endpoint)
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
