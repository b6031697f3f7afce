"""A worker under the demo's load, and a Prometheus that looks at it. This file runs all of it."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.dev.child import Child, free_port
from flows.dev.dashboards.prometheus import JOB, PrometheusServer, start_prometheus
from flows.dev.demo import SEED, STORY_MS, USERS
from flows.dev.embedded import ValkeyServer
from flows.dev.generator import Message, generate
from flows.dev.load import Loader
from flows.dev.stack import Stack
from flows.dev.worker_metrics import fetch_metrics

READY_DEADLINE_S = 150.0
Json = Mapping[str, Any]
NO_RULES: Json = {"name": "none", "rules": []}
DRILL: Json = {
    "name": "drill",
    "rules": [{"alert": "TierwiseDrill", "expr": "vector(1)", "labels": {"job": JOB, "severity": "none"}}],
}
"""A dashboard that shows alerts is tried with one that fires."""


class LiveShop:
    """
    Half a year of the demo's shop, sent at a pace, scored by one worker or several.

    Args:
        more_rules: a group of rules besides ours.
        jobs: under which Prometheus knows the workers; more than one, and each has all of them.

    Attributes:
        prometheus: scrapes the workers every second, with our rules.
        workers: by the port of each.
        store: what they write to, perhaps to be frozen.
        loader: what is sent; ends by itself or with us.
    """

    prometheus: PrometheusServer
    store: ValkeyServer
    loader: Loader

    def __init__(
        self,
        events: int,
        rate: float,
        *,
        workers: int = 1,
        jobs: Sequence[str] = (JOB,),
        more_rules: Json = NO_RULES,
    ) -> None:
        self._events, self._rate = events, rate
        self._count, self._jobs = workers, jobs
        self.workers: dict[int, Child] = {}
        self._more_rules = more_rules
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            stack = exits.enter_context(Stack(overrides={"watermark": {"idle_after": "never"}}))
            self.store = stack.valkey
            ports = [free_port() for _ in range(self._count)]
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="tierwise-prometheus-")))
            self.prometheus = exits.enter_context(
                start_prometheus(folder, dict.fromkeys(self._jobs, ports), self._more_rules)
            )
            for port in ports:  # One by one: the first may have to compile kernels.
                self.workers[port] = stack.start_worker(port)
                self.workers[port].wait_until(lambda: _own_all([*self.workers]), READY_DEADLINE_S)
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


def _own_all(ports: Sequence[int]) -> bool:
    found = [fetch_metrics(port) or {} for port in ports]
    owned = [one.get("tierwise_owned_partitions", 0) for one in found]
    return all(owned) and sum(owned) == max(one.get("tierwise_input_partitions", 0) for one in found)


def _sent_now(events: int) -> Iterator[Message]:
    """Tell the demo's story with the time of sending as Kafka's: freshness is about that."""
    end_ms = time.time_ns() // 1_000_000
    for message in generate(events, USERS, SEED, end_ms - STORY_MS, end_ms):
        yield message._replace(ingest_time_ms=time.time_ns() // 1_000_000)
