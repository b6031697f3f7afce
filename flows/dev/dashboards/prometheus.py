"""Debian's Prometheus on this machine. This file starts it beside workers, and asks it."""

import json
import math
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config
from flows.dev.child import Child, free_port
from flows.dev.embedded import Server

RULES = Path(config.__file__).with_name("alerts") / "tierwise.rules.yaml"
JOB = "tierwise"
READY_DEADLINE_S = 30.0
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Series:
    """One answer: its labels, and (Unix time in s, value) in order of time."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def says_something(self) -> bool:
        """Tell whether one of the values is a number."""
        return any(math.isfinite(value) for _, value in self.points)


@dataclass(frozen=True)
class PrometheusServer(Server):
    """A running Prometheus."""

    def is_ready(self) -> bool:
        """Tell whether it serves queries."""
        try:
            self._fetch("/-/ready")
        except OSError:
            return False
        return True

    def at(self, expr: str, time_s: float) -> list[Series]:
        """Ask for one moment."""
        found = self._ask("query", query=expr, time=f"{time_s:.3f}")["result"]
        return [Series(one["metric"], [_point(one["value"])]) for one in found]

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """Ask for a span of time."""
        span = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:g}"}
        found = self._ask("query_range", query=expr, **span)["result"]
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in found]

    def label_values(self, selector: str, label: str) -> list[str]:
        """List the values that a label has among the series of a selector."""
        return list(self._ask(f"label/{label}/values", **{"match[]": selector}))

    def _ask(self, what: str, **parameters: str) -> Any:
        text = self._fetch(f"/api/v1/{what}?{urllib.parse.urlencode(parameters)}")
        return json.loads(text)["data"]

    def _fetch(self, path: str) -> str:
        # A proxy from the environment has no business between us and this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=TIMEOUT_S) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refused:
            if refused.code == 503:
                raise  # Not ready yet.
            raise ValueError(f"{urllib.parse.unquote_plus(path)}: {refused.read().decode()}") from refused


def start_prometheus(
    folder: Path, jobs: Mapping[str, Sequence[int]], more_rules: Mapping[str, Any]
) -> PrometheusServer:
    """
    Start Prometheus with our rules; it looks every second at the workers on some ports of this machine.

    Args:
        folder: for its files; to be kept while it runs.
        jobs: the ports of each.
        more_rules: a group of rules besides ours.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("no program `prometheus` on this machine; Debian: apt-get install prometheus")
    ours, theirs = folder / "tierwise.rules.yaml", folder / "more.rules.yaml"
    # What is looked at every two minutes in production would be late for a run of one.
    ours.write_text(
        RULES.read_text(encoding="utf-8").replace("interval: 2m", "interval: 1s"), encoding="utf-8"
    )
    theirs.write_text(json.dumps({"groups": [more_rules]}), encoding="utf-8")
    scraped = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        for job, ports in jobs.items()
    ]
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ours), str(theirs)],
        "scrape_configs": scraped,
    }
    (folder / "prometheus.yaml").write_text(json.dumps(settings), encoding="utf-8")
    port = free_port()
    options = {
        "config.file": folder / "prometheus.yaml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    server = PrometheusServer(Child("prometheus", command), port)
    try:
        server.child.wait_until(server.is_ready, READY_DEADLINE_S)
    except BaseException:
        server.close()
        raise
    return server


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
