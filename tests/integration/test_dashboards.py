"""This file asks every question of every dashboard on a real Prometheus that looks at a live worker."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from flows.dev.dashboards.board import Board, View, ask
from flows.dev.dashboards.chart import COLOURS
from flows.dev.dashboards.draw import look_at
from flows.dev.dashboards.live import DRILL, LiveShop
from flows.dev.dashboards.picture import draw_page
from flows.dev.dashboards.prometheus import JOB, PrometheusServer
from flows.dev.stack import PARTITIONS
from tests.integration.dashboard_questions import (
    RATE_SPAN_S,
    SPAN_S,
    assert_annotation_is_answered,
    assert_panel_is_answered,
    eventually,
    view,
)
from tests.prometheus_tools import needed_program

NAMES = ("overview", "population", "stores")
EVENTS, RATE = 90_000, 1_500.0
BOARDS = {name: Board(name) for name in NAMES}
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board.panels]


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """Run a worker under load with a Prometheus that looks at it; skip where there is none, or in CI fail."""
    needed_program("prometheus")
    with LiveShop(EVENTS, RATE, more_rules=DRILL) as live:
        yield live.prometheus
        live.check()


@pytest.mark.parametrize(
    ("name", "panel"), PANELS, ids=lambda one: one if isinstance(one, str) else one["title"]
)
def test_panel__has_data_and_the_labels_of_its_legend(
    prometheus: PrometheusServer, name: str, panel: dict[str, Any]
) -> None:
    """Each query of each panel gets numbers from a healthy worker, and no two answers are called the same."""
    assert_panel_is_answered(BOARDS[name], prometheus, panel)


@pytest.mark.parametrize("name", NAMES)
def test_variables__offer_what_there_is(prometheus: PrometheusServer, name: str) -> None:
    """One job, all partitions, all ladders; what is preset is on offer."""
    board = BOARDS[name]
    expected = {"job": {JOB}, "partition": {str(number) for number in range(PARTITIONS)}}
    ladders = {"tier", "lifecycle", "aipl", "new_user", "deal_seeker", "new_product_fan", "cart_open"}
    for variable in board.variables:
        wanted = expected.get(variable["name"], ladders)
        found = eventually(
            lambda: board.choices(prometheus, variable, board.choose(prometheus)),  # noqa: B023
            lambda values: set(values) == wanted,  # noqa: B023
        )
        assert set(found) == wanted, variable["name"]
        assert variable["current"].get("value") in {None, "$__all", *wanted}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", range(3))
def test_annotation__has_data_and_its_labels(prometheus: PrometheusServer, name: str, number: int) -> None:
    """Each kind of mark shows what it is for: a drill that fires, a worker that started, a policy that is new."""
    board = BOARDS[name]
    assert len(board.annotations) == 3
    annotation = board.annotations[number]
    found = assert_annotation_is_answered(board, prometheus, annotation)
    if annotation["useValueForTime"]:
        started_s = found[0].points[-1][1] / 1000
        assert 0 < time.time() - started_s < 600


def test_alerts__that_fire_are_counted(prometheus: PrometheusServer) -> None:
    """The number of alerts is that of those that fire, and 0 where another job is chosen."""
    panel = next(one for one in BOARDS["overview"].panels if one["title"] == "Alerts firing")
    board = BOARDS["overview"]
    found = eventually(
        lambda: ask(prometheus, panel["targets"][0], view(board, prometheus)),
        lambda found: found[0].points[0][1] == 1,
    )
    assert found[0].points[0][1] == 1
    chosen = view(board, prometheus)
    other = View(chosen.start_s, chosen.end_s, 1, RATE_SPAN_S, {"job": "another", "partition": ".*"})
    assert ask(prometheus, panel["targets"][0], other)[0].points[0][1] == 0


def test_picture__is_drawn_from_live_data(prometheus: PrometheusServer) -> None:
    """The overview as it stands now has a value in every panel, and a name for every series."""
    now_s = time.time()
    look = look_at(BOARDS["overview"], prometheus, now_s - SPAN_S, now_s)
    assert all(name for found in look.found.values() for name, _ in found)
    assert look.chosen == f"Job: {JOB}, Partition: All"
    assert look.marks
    page = draw_page(BOARDS["overview"].document, look, ["drawn by a test"])
    assert page.count("<polyline") >= len([one for one in PANELS if one[0] == "overview"]) / 2
    assert "No data" not in page


def test_marks__of_what_began_before_stand_at_the_beginning(prometheus: PrometheusServer) -> None:
    """An alert and a policy that are there at the first moment are drawn, although that is no whole millisecond."""
    start_s = int(time.time()) + 0.0004
    assert eventually(lambda: prometheus.at('ALERTS{alertname="TierwiseDrill"}', start_s), bool)
    look = look_at(BOARDS["overview"], prometheus, start_s, start_s + 1)
    assert {COLOURS["red"], COLOURS["purple"]} <= {mark.colour for mark in look.marks}
