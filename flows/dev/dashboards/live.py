"""A worker under the demo's load, and a Prometheus that looks at it. This file runs all of it."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.dev.dashboards.prometheus import JOB, PrometheusServer, start_prometheus
from flows.dev.demo import SEED, STORY_MS, USERS
from flows.dev.embedded import ValkeyServer
from flows.dev.generator import Message, generate
from flows.dev.load import Loader
from flows.dev.stack import Stack
from flows.dev.worker_metrics import fetch_metrics

READY_DEADLINE_S = 150.0
DRILL = {
    "name": "drill",
    "rules": [{"alert": "TierwiseDrill", "expr": "vector(1)", "labels": {"job": JOB, "severity": "none"}}],
}
"""A dashboard that shows alerts is tried with one that fires."""


class LiveShop:
    """
    Half a year of the demo's shop, sent at a pace, scored by one worker.

    Attributes:
        prometheus: scrapes the worker every second, with our rules.
        store: what the worker writes to, perhaps to be frozen.
        loader: what is sent; ends by itself or with us.
    """

    prometheus: PrometheusServer
    store: ValkeyServer
    loader: Loader

    def __init__(self, events: int, rate: float, *, drill: bool = False) -> None:
        self._events, self._rate = events, rate
        self._more_rules = DRILL if drill else {"name": "none", "rules": []}
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            stack = exits.enter_context(Stack(overrides={"watermark": {"idle_after": "never"}}))
            self.store = stack.valkey
            worker = stack.start_worker()
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="tierwise-prometheus-")))
            self.prometheus = exits.enter_context(
                start_prometheus(folder, [stack.http_port], self._more_rules)
            )
            worker.wait_until(lambda: _owns_all(stack.http_port), READY_DEADLINE_S)
            self.loader = Loader(stack.kafka.bootstrap, _sent_now(self._events), self._rate)
            threads = exits.enter_context(ThreadPoolExecutor(1, "loader"))
            exits.callback(self.loader.stop)
            self._loading = threads.submit(self.loader.run)
            self._exits = exits.pop_all()
        return self

    def check(self) -> None:
        """Raise what ended the load before its time."""
        if self._loading.done():
            self._loading.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()


def _owns_all(port: int) -> bool:
    found = fetch_metrics(port) or {}
    return 0 < found.get("tierwise_input_partitions", 0) == found.get("tierwise_owned_partitions", 0)


def _sent_now(events: int) -> Iterator[Message]:
    """Tell the demo's story with the time of sending as Kafka's: freshness is about that."""
    end_ms = time.time_ns() // 1_000_000
    for message in generate(events, USERS, SEED, end_ms - STORY_MS, end_ms):
        yield message._replace(ingest_time_ms=time.time_ns() // 1_000_000)
