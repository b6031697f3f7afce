"""This file shows what the worker's HTTP server answers and that metrics follow what is observed."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from scoring.events import Reason
from sinks.http import HttpServer, serve
from sinks.metrics import Metrics


@dataclass
class Counts:
    """What a shard has counted."""

    consumed: int = 10
    applied: int = 4
    duplicate: int = 1
    ignored: int = 2
    replayed_skipped: int = 0
    duplicates_evicted: int = 0
    orders_evicted: int = 0
    refund_excess: int = 0
    deadlines_fired: int = 5
    dead_lettered: dict[Reason, int] = field(default_factory=lambda: {Reason.NOT_JSON: 1, Reason.TOO_LATE: 2})


@pytest.fixture
def metrics() -> Metrics:
    """Make the metrics of one worker."""
    return Metrics("tierwise", "1.2.3", "shop@3")


@pytest.fixture
def states() -> dict[str, bool]:
    """Hold what /live and /ready should say."""
    return {"live": True, "ready": False}


@pytest.fixture
def server(metrics: Metrics, states: dict[str, bool]) -> Iterator[HttpServer]:
    """Serve on a free port."""
    server = serve("127.0.0.1", 0, metrics.registry, lambda: states["live"], lambda: states["ready"])
    yield server
    server.close()


def get(server: HttpServer, path: str) -> tuple[int, str]:
    """Ask for a path; answer status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_http__live_and_ready_follow_the_worker(server: HttpServer, states: dict[str, bool]) -> None:
    """A probe gets 200 when the worker says yes and 503 when it says no; other paths do not exist."""
    assert [get(server, path)[0] for path in ("/live", "/ready", "/")] == [200, 503, 404]
    states |= {"live": False, "ready": True}
    assert [get(server, path)[0] for path in ("/live", "/ready?x=1")] == [503, 200]


def test_metrics__counts_obey_the_conservation_law(server: HttpServer, metrics: Metrics) -> None:
    """What was consumed is the sum of what became of it, over several looks."""
    for _ in range(2):
        metrics.observe_counts(3, Counts())
    text = get(server, "/metrics")[1]
    values = {
        line.split("{")[0].removeprefix("tierwise_messages_").removesuffix("_total"): 0.0
        for line in text.splitlines()
        if line.startswith("tierwise_messages_") and "_total{" in line
    }
    for name in values:
        values[name] = sum(
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith(f"tierwise_messages_{name}_total{{")
        )
    assert values.pop("consumed") == sum(values.values()) == 20
    assert 'tierwise_messages_dead_lettered_total{reason="too_late",shard="3"} 4.0' in text
    assert 'tierwise_build_info{policy="shop@3",version="1.2.3"} 1.0' in text


def test_metrics__a_shard_that_left_has_no_gauges(server: HttpServer, metrics: Metrics) -> None:
    """Gauges of a released shard vanish; those of the others stay."""
    for partition in (3, 30):
        metrics.observe_rungs(partition, "tier", ("bronze", "gold"), (5, 1))
        metrics.observe_shard(partition, users=6, outbox_pending=2)
    metrics.forget_shard(3)
    text = get(server, "/metrics")[1]
    assert 'shard="30"' in text
    assert 'shard="3"' not in text


def test_metrics__a_prefix_becomes_a_legal_name() -> None:
    """What a metric name cannot hold becomes an underscore."""
    names = {family.name for family in Metrics("shop.eu-1").registry.collect()}
    assert "shop_eu_1_messages_consumed" in names
