"""This file shows how a dashboard is drawn, and that the picture in the docs is of the dashboard that ships."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from flows.dev.dashboards.board import Board, View
from flows.dev.dashboards.draw import COMMAND, PICTURE
from flows.dev.dashboards.picture import Look, draw_page
from flows.dev.dashboards.prometheus import Series
from flows.dev.dashboards.units import axis_marks, scale_of
from tests.unit.docs_examples import ROOT, text_of

SVG = "{http://www.w3.org/2000/svg}"
START_S, END_S = 1_000.0, 1_060.0
SIZE_MAX = 200_000


def texts(svg: str) -> list[str]:
    """List what is written in a picture, from left to right and down as drawn."""
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def drawn(values: list[float]) -> str:
    """Draw the overview with one series of these values, a second apart, in every panel."""
    board = Board("overview")
    series = Series({}, [(START_S + number, value) for number, value in enumerate(values)])
    found = {panel["id"]: [("a < b", series)] for panel in board.panels}
    return draw_page(board.document, Look((START_S, END_S), found, [], "Job: shop"), ["drawn"])


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("s", 0.0123, "12.3 ms"),
        ("s", 90, "1.5 min"),
        ("s", 0, "0"),
        ("percentunit", 0.9951, "99.5%"),
        ("percentunit", -8.94, "-894%"),
        ("mps", 1_500, "1.5 k/s"),
        ("short", 3_580, "3.58 k"),
        ("none", 14.4, "14.4"),
        ("bytes", 3 * 1_024**2, "3 MiB"),
    ],
)
def test_values__are_written_for_people(unit: str, value: float, shown: str) -> None:
    """Three digits that count, in the largest size that the value fills."""
    assert scale_of(unit, value).shown(value) == shown


@pytest.mark.parametrize("largest", [0.0, 0.003, 1.0, 7.9, 1_500.0, 4e9])
@pytest.mark.parametrize("unit", ["s", "short", "percentunit", "bytes"])
def test_axis__begins_at_0_and_holds_everything(unit: str, largest: float) -> None:
    """A few marks, evenly apart, the last one at or above the largest value, and not far above."""
    marks = axis_marks(unit, largest)
    assert marks[0] == 0
    assert 2 <= len(marks) <= 6
    assert marks[-1] >= largest * (1 - 1e-9)
    assert not largest or marks[-1] <= 2.5 * largest
    steps = {round((after - before) / marks[1], 9) for before, after in pairwise(marks)}
    assert steps == {1}


def test_picture__has_every_panel_with_its_value() -> None:
    """Each panel of the JSON is there with its title; a stat shows the newest value, or that there is none."""
    written = texts(drawn([3.0, 2.0, 1.0]))
    assert {panel["title"] for panel in Board("overview").document["panels"]} <= set(written)
    assert {"100%", "1 s", "a < b"} <= set(written)
    assert "No data" not in written
    stats = [panel for panel in Board("overview").panels if panel["type"] == "stat"]
    assert texts(drawn([math.nan])).count("No data") == len(stats)


def test_picture__breaks_a_line_where_nothing_is_known() -> None:
    """A gap in the data is a gap in the line, and lines stay on the page."""
    page = ElementTree.fromstring(drawn([1.0, 2.0, math.nan, 3.0, 4.0]))
    charts = [panel for panel in Board("overview").panels if panel["type"] == "timeseries"]
    stacked = [
        one for one in charts if one["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    ]
    lines = [one.attrib["points"].split() for one in page.iter(f"{SVG}polyline")]
    assert len(lines) == 2 * (len(charts) - len(stacked)) + len(stacked)
    points = [tuple(map(float, point.split(","))) for line in lines for point in line]
    assert all(
        0 < x < float(page.attrib["width"]) and 0 < y < float(page.attrib["height"]) for x, y in points
    )


def test_view__puts_in_what_is_chosen() -> None:
    """Variables and spans of time take the place of their names, in both ways of writing them."""
    view = View(START_S, END_S, 1, 15, {"job": "shop"})
    text = 'a{job="$job"}[$__rate_interval] + b{job="${job}"}[$__range]'
    assert view.written_out(text) == 'a{job="shop"}[15s] + b{job="shop"}[60s]'
    with pytest.raises(KeyError):
        view.written_out("$partition")


def test_docs_picture__is_of_the_dashboard_that_ships() -> None:
    """It has all panels of today's JSON, says how it was made and that it is no screenshot, and is small."""
    svg = (ROOT / PICTURE).read_text(encoding="utf-8")
    written = texts(svg)
    assert {panel["title"] for panel in Board("overview").document["panels"]} <= set(written)
    assert "No data" not in written
    assert any("Not a screenshot of Grafana" in one and COMMAND in one for one in written)
    assert len(svg.encode()) < SIZE_MAX


def test_readme__shows_the_picture_and_says_that_it_is_drawn() -> None:
    """Nobody takes it for a screenshot."""
    line = next(line for line in text_of("README.md").splitlines() if f"]({PICTURE})" in line)
    assert "drawn" in line
    assert "no screenshot of Grafana" in line
