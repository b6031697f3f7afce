"""This file shows what the worker's HTTP server answers and that metrics follow what is observed."""

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
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


def test_metrics__a_scrape_sees_no_half_count(metrics: Metrics) -> None:
    """Whoever looks while a batch is counted sees it whole or not at all."""
    looking, seen = threading.Event(), []

    class Halfway(Counts):
        @property
        def ignored(self) -> int:  # Asked for when consumed and applied are counted already.
            scrape.start()
            looking.wait(5)
            return 2

        @ignored.setter
        def ignored(self, count: int) -> None: ...

    def look() -> None:
        looking.set()
        families = {family.name: family for family in metrics.registry.collect()}
        for fate in ("consumed", "applied", "ignored"):
            seen.append(sum(one.value for one in families[f"tierwise_messages_{fate}"].samples[:1]))

    scrape = threading.Thread(target=look)
    metrics.observe_counts(3, Halfway())
    scrape.join()
    assert seen == [10, 4, 2]


def test_metrics__what_a_policy_allows_is_there_before_it_happens(
    server: HttpServer, metrics: Metrics
) -> None:
    """Every move, with every cause it can have, is 0 from the start."""
    metrics.expect_changes("tier", ("bronze", "silver", "gold"))
    text = get(server, "/metrics")[1]
    moves = re.findall(r'_ladder_transitions_total{from="(\w*)",ladder="tier",to="(\w*)"} 0', text)
    three = ("bronze", "silver", "gold")
    assert sorted(moves) == sorted((left, to) for left in three for to in (*three, "") if left != to)
    ways = re.findall(r'_ladder_changes_total{cause="(\w+)",direction="(\w+)",ladder="tier"} 0', text)
    assert ("time", "down") in ways
    assert ("time", "up") not in ways
    assert len(ways) == 8
    assert 'tierwise_store_errors_total{error="StoreUnavailable"} 0' in text


def test_metrics__many_ages_are_counted_at_once(server: HttpServer, metrics: Metrics) -> None:
    """Each goes to its bucket, the edge of the objective to the one that meets it; over several batches."""
    metrics.observe_visible(np.array([0.05, 2.5, 2.501, 9_999.0]))
    metrics.observe_visible(np.array([]))
    metrics.observe_visible(np.array([0.1]))
    text = get(server, "/metrics")[1]
    shown = {
        line.partition('le="')[2].partition('"')[0]: float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("tierwise_event_to_visible_seconds_bucket")
    }
    assert list(shown.values()) == [2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 5]
    assert (shown["0.1"], shown["2.5"], shown["5.0"], shown["+Inf"]) == (2, 3, 4, 5)
    assert "tierwise_event_to_visible_seconds_count 5.0" in text
    assert f"tierwise_event_to_visible_seconds_sum {0.05 + 2.5 + 2.501 + 9_999 + 0.1}" in text


def test_metrics__a_shard_that_left_has_no_gauges(server: HttpServer, metrics: Metrics) -> None:
    """Gauges of a released shard vanish; those of the others stay."""
    for partition in (3, 30):
        metrics.observe_rungs(partition, "tier", ("bronze", "gold"), (5, 1))
        metrics.observe_shard(partition, users=6, outbox_pending=2)
        metrics.observe_lag(partition, "orders", 3, 0.5)
        for gauge in (metrics.outbox_oldest_seconds, metrics.deadlines_behind, metrics.last_commit):
            gauge.labels(str(partition)).set(1)
    metrics.forget_shard(3)
    text = get(server, "/metrics")[1]
    assert 'shard="30"' in text
    assert 'shard="3"' not in text


def test_metrics__a_prefix_becomes_a_legal_name() -> None:
    """What a metric name cannot hold becomes an underscore; no name goes without the prefix."""
    names = {family.name for family in Metrics("shop.eu-1").registry.collect()}
    assert {"shop_eu_1_messages_consumed", "shop_eu_1_process_open_fds"} <= names
    assert [name for name in names if not name.startswith("shop_eu_1_")] == []
