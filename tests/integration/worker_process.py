"""Workers as an operator runs them: processes of their own. This file starts, asks, stops and kills them."""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from flows.dev.child import Child, free_port
from flows.dev.embedded import KafkaServer, ValkeyServer
from flows.dev.worker_metrics import fetch_metrics
from tests.conftest import REPOSITORY

READY_DEADLINE_S = 150.0
"""Generous, since the first worker of a run may have to compile its kernels."""
STOP_DEADLINE_S = 15.0
QUICK_GROUP = {"session.timeout.ms": "2000", "heartbeat.interval.ms": "300"}
"""So that a killed worker's partitions are handed on soon."""
POLICY = REPOSITORY / "config" / "policies" / "ecommerce.yaml"


def write_settings(folder: Path, valkey: ValkeyServer, kafka: KafkaServer, changed: dict[str, Any]) -> Path:
    """Write a settings file for these servers; time stays with the data unless changed."""
    settings: dict[str, Any] = {
        "kafka": {**kafka.client_settings, **QUICK_GROUP},
        "redis": {"url": valkey.url},
        "policy": str(POLICY),
        "watermark": {"idle_after": "never"},
    }
    path = folder / "tierwise.yaml"
    path.write_text(yaml.safe_dump(settings | changed), encoding="utf-8")
    return path


class WorkerProcess:
    """One `tierwise run`; it dies with the test."""

    def __init__(
        self,
        settings: Path,
        name: str = "worker",
        options: Sequence[str] = (),
        program: Sequence[str] = ("flows.cli",),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        env |= {"PYTHONPATH": str(REPOSITORY), "TIERWISE_HTTP__PORT": str(self.port), **(environ or {})}
        if cache := os.environ.get("TIERWISE_KERNEL_CACHE"):
            env["TIERWISE_KERNEL_CACHE"] = cache
        command = [sys.executable, "-m", *program, "run", "--settings", str(settings), *options]
        self._child = Child(name, command, env)

    @property
    def pid(self) -> int:
        """Name the process."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """Tell how it ended, None while it runs."""
        return self._child.exit_code

    @property
    def log(self) -> str:
        """Give all it has logged."""
        return self._child.log_tail(1_000_000)

    def answers(self, path: str) -> int:
        """Give the status of /ready or /live, 0 while nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, name: str) -> float:
        """Give one metric, named without its prefix, summed over its labels; 0 while there is none."""
        found = fetch_metrics(self.port) or {}
        return next((value for full_name, value in found.items() if full_name.endswith(f"_{name}")), 0.0)

    def owned(self) -> int:
        """Count the partitions it owns."""
        return round(self.metric("owned_partitions"))

    def wait_until(self, holds: Callable[[], bool], deadline_s: float = 60.0) -> None:
        """Return once the condition holds; fail with the log when it ends before, or the time is up."""
        self._child.wait_until(holds, deadline_s)

    def wait_ready(self) -> Self:
        """Return once /ready says yes."""
        self.wait_until(lambda: self.answers("/ready") == 200, READY_DEADLINE_S)
        return self

    def wait_end(self, deadline_s: float = READY_DEADLINE_S) -> int:
        """Return the exit code once it has ended by itself."""
        give_up_s = time.monotonic() + deadline_s
        while self._child.exit_code is None:
            assert time.monotonic() < give_up_s, f"still running; its log:\n{self.log}"
            time.sleep(0.02)
        return self._child.exit_code

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        return self._child.stop(STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._child.stop(with_signal=9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
