"""
This file asks the dashboard of what runs beside the workers, on a Prometheus that looks at live processes.

Two processes of `tierwise webhooks` deliver to four endpoints that answer in four ways, while changes come;
`tierwise profiles` and `tierwise rekey` copy.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flows.dev.dashboards.board import Board
from flows.dev.dashboards.live import NO_RULES
from flows.dev.dashboards.prometheus import PrometheusServer, start_prometheus
from flows.dev.embedded import create_topics, start_kafka
from tests.conftest import PARTITIONS, make_topics, start_store
from tests.integration.dashboard_questions import (
    assert_annotation_is_answered,
    assert_panel_is_answered,
    eventually,
    newest,
)
from tests.integration.rekey_process import QUICK_TRANSACTIONS, Hop, HopProcess
from tests.integration.webhook_site import Call, Hooks, Receiver, Reply
from tests.integration.worker_process import QUICK_GROUP
from tests.prometheus_tools import needed_program

PREFIX = "tierwise"
"""What the dashboard asks for; servers of its own keep it apart from other tests."""
BOARD = Board("beside")
HOOKS, PROFILES, REKEY = JOBS = ("shop-webhooks", "shop-profiles", "shop-rekey")
ENDPOINTS = ("crm", "mail", "busy", "gone")
Shown = Mapping[str, float]


def answers() -> dict[str, Receiver]:
    """Run the endpoints: one takes all, one refuses some, one asks to be left alone, one is no more."""
    numbers = count()

    def mail(_: Call) -> Reply:
        return (500 if next(numbers) % 3 else 200), {}

    return {
        "crm": Receiver(),
        "mail": Receiver(mail),
        "busy": Receiver(lambda _: (503, {"Retry-After": "3600"})),
        "gone": Receiver(lambda _: (410, {})),
    }


class Feed:
    """Publish changes, wanted and others, and events to copy, until the test is over."""

    def __init__(self, hooks: Hooks, hop: Hop) -> None:
        self._hooks, self._hop = hooks, hop
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        users = [f"u{number}" for number in range(20)]
        while not self._is_over.wait(0.3):
            self._hooks.publish(*users)
            self._hooks.publish(*users[:5], ladder="aipl")
            self._hop.send(20, PARTITIONS)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Run all of it; skip where there is no Prometheus, or in CI fail."""
    needed_program("prometheus")
    with ExitStack() as exits:
        folder = tmp_path_factory.mktemp("beside")
        kafka = exits.enter_context(start_kafka())
        hooks = Hooks(kafka, make_topics(kafka, PREFIX, PARTITIONS), PREFIX, folder)
        hop = Hop(kafka, PREFIX, folder)
        create_topics(kafka.bootstrap, [hop.source, hop.target], PARTITIONS)
        receivers = answers()
        for receiver in receivers.values():
            exits.enter_context(receiver)
        hooks.write(
            {name: one.settings(ladders=["tier"]) for name, one in receivers.items()},
            retry_plan=["0s", *["200ms"] * 30],
        )
        processes = {
            HOOKS: [exits.enter_context(hooks.run()), exits.enter_context(hooks.run())],
            PROFILES: [exits.enter_context(HopProcess("profiles", settings_of_profiles(exits, hooks)))],
            REKEY: [exits.enter_context(hop.rekey())],
        }
        exits.callback(Feed(hooks, hop).close)
        ports = {job: [one.port for one in running] for job, running in processes.items()}
        prometheus = exits.enter_context(start_prometheus(folder, ports, NO_RULES))
        wait_until_all_is_seen(prometheus)
        yield prometheus


def wait_until_all_is_seen(prometheus: PrometheusServer) -> None:
    """Return once all processes have partitions, as Prometheus sees it: two of them say the same of each endpoint."""
    owners = " or ".join(f"tierwise_{one}_owned_partitions > 0" for one in ("webhooks", "profiles", "rekey"))
    wanted = 2 * len(ENDPOINTS) + 2
    assert (
        eventually(lambda: len(prometheus.at(owners, time.time())), lambda count: count == wanted) == wanted
    )


def settings_of_profiles(exits: ExitStack, hooks: Hooks) -> Path:
    """Write settings with a store that knows nobody: each user's newest message says so."""
    store = exits.enter_context(start_store())
    content = {
        "prefix": PREFIX,
        "kafka": {**hooks.kafka.client_settings, **QUICK_GROUP, **QUICK_TRANSACTIONS},
        "topics": {"input": list(hooks.topics.input), "changes": hooks.topics.changes},
        "redis": {"url": store.url},
    }
    path = hooks.folder / "profiles.json"  # JSON is YAML.
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("panel", BOARD.panels, ids=lambda panel: panel["title"])
def test_panel__has_data_and_the_labels_of_its_legend(
    prometheus: PrometheusServer, panel: dict[str, Any]
) -> None:
    """Each query gets numbers, and what two processes tell of one endpoint is not called the same."""
    assert_panel_is_answered(BOARD, prometheus, panel)


def of_endpoints(**holds: Callable[[float], bool]) -> Callable[[Shown], bool]:
    """Tell whether a panel with a line for each endpoint shows of these what it should."""

    def is_shown(shown: Shown) -> bool:
        named = {f"{HOOKS} {name}" for name in ENDPOINTS}
        return shown.keys() == named and all(test(shown[f"{HOOKS} {name}"]) for name, test in holds.items())

    return is_shown


def is_0(value: float) -> bool:
    """Tell that nothing is there."""
    return value == 0


def is_some(value: float) -> bool:
    """Tell that something is there."""
    return value > 0


SHOWS: dict[str, Callable[[Shown], bool]] = {
    "Endpoints disabled": lambda shown: shown == {"Endpoints disabled": 1},
    "Endpoints without owner": lambda shown: shown == {"Endpoints without owner": 0},
    "Oldest change waiting": lambda shown: shown["Oldest change waiting"] > 2,
    "Attempts that failed": lambda shown: 0 < shown["Attempts that failed"] < 1,
    "Given up": lambda shown: shown["Given up"] > 10,
    "Alerts firing": lambda shown: shown == {"Alerts firing": 1},
    "Delivered": of_endpoints(crm=is_some, mail=is_some, busy=is_0, gone=is_0),
    "From Kafka to the endpoint": lambda shown: (
        0 < shown[f"{HOOKS} crm p50"] <= shown[f"{HOOKS} crm p99"] < shown[f"{HOOKS} mail p99"]
    ),
    "Behind the change topic": of_endpoints(busy=lambda behind: behind > 50),
    "What became of the attempts": lambda shown: shown["taken"] > 0 < shown["http_5xx"] and shown["tls"] == 0,
    "Failed attempts, by endpoint": of_endpoints(crm=is_0, mail=is_some, busy=is_0),
    "Duration of an attempt": lambda shown: 0 < shown[f"{HOOKS} crm p50"] <= shown[f"{HOOKS} crm p99"],
    "Waiting": of_endpoints(busy=is_some, gone=lambda waiting: waiting < 100),
    "Waiting for another attempt": of_endpoints(crm=is_0, busy=is_some),
    "Asked to be left alone": of_endpoints(crm=is_0, mail=is_0, busy=lambda left_s: 3_000 < left_s <= 3_600),
    "Oldest change waiting, by endpoint": of_endpoints(busy=lambda age_s: age_s > 2),
    "Partitions of a process": lambda shown: len(shown) == 8 and sum(shown.values()) == 4 * PARTITIONS,
    "Parked, by reason": lambda shown: shown["gone"] > 0 and shown["crowded_out"] == 0,
    "Parked, by endpoint": of_endpoints(crm=is_0, busy=is_0, gone=is_some),
    "Lost": of_endpoints(crm=is_0),
    "Not asked for": of_endpoints(crm=is_some, mail=is_some),
    "Copies behind": lambda shown: shown.keys() == {f"{PROFILES} profiles", f"{REKEY} rekey"},
    "Read for copies": lambda shown: len(shown) == 2 and min(shown.values()) > 0,
    "Copies written": lambda shown: shown[f"{REKEY} rekey"] > 0,
    "Transactions rolled back": lambda shown: len(shown) == 2 and max(shown.values()) == 0,
    "Partitions of a copying process": lambda shown: [*shown.values()] == [PARTITIONS, PARTITIONS],
}


@pytest.mark.parametrize("title", [panel["title"] for panel in BOARD.panels])
def test_panel__shows_what_happens(prometheus: PrometheusServer, title: str) -> None:
    """Each of the four ways to answer can be seen, and what all processes of an endpoint do is shown once."""
    shown = eventually(
        lambda: newest(BOARD, prometheus, title), lambda shown: bool(shown) and SHOWS[title](shown)
    )
    assert SHOWS[title](shown), shown


def test_variables__offer_what_runs(prometheus: PrometheusServer) -> None:
    """All jobs that run beside the workers, and all endpoints; each with all chosen at a first look."""
    jobs, endpoint = BOARD.variables
    assert {*BOARD.choices(prometheus, jobs, {})} == {*JOBS}
    assert {*BOARD.choices(prometheus, endpoint, BOARD.choose(prometheus))} == {*ENDPOINTS}
    assert BOARD.choices(prometheus, endpoint, {"jobs": REKEY}) == []
    assert BOARD.choose(prometheus) == {"jobs": ".*", "endpoint": ".*"}


@pytest.mark.parametrize("annotation", BOARD.annotations, ids=lambda one: one["name"])
def test_annotation__has_data_and_its_labels(
    prometheus: PrometheusServer, annotation: dict[str, Any]
) -> None:
    """A mark is set for the alert about the endpoint that is no more, and for each new process."""
    found = assert_annotation_is_answered(BOARD, prometheus, annotation)
    if annotation["name"] == "Alerts":
        assert [one.labels["alertname"] for one in found] == ["TierwiseWebhooksGivenUp"]
        assert found[0].labels["endpoint"] == "gone"
    else:
        assert {one.labels["job"] for one in found} == {*JOBS}
        assert len(found) == 4
