"""Values over time as a picture. This file draws the inside of one panel: axes, lines or areas, marks, legend."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flows.dev.dashboards.prometheus import Series
from flows.dev.dashboards.svg import Box, Point, line, polygon, polyline, rectangle, text
from flows.dev.dashboards.units import axis_marks, scale_of

PALETTE = (
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#8ab8ff",
    "#c0d8ff",
    "#96d98d",
    "#fade2a",
)
COLOURS = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2", "purple": "#b877d9"}
GRID, FAINT = "#2c3235", "#9fa7b3"
AXIS_WIDTH, AXIS_HEIGHT, LEGEND_LINE, LETTER = 52, 18, 15, 6.3
TIME_MARKS = 4
_HEADROOM = 1.02

Named = tuple[str, Series]


@dataclass(frozen=True)
class Mark:
    """Something that happened: when (Unix s), and the colour of its kind."""

    time_s: float
    colour: str


@dataclass(frozen=True)
class Plot:
    """Where values and times are on the page."""

    box: Box
    start_s: float
    end_s: float
    top: float

    def x(self, time_s: float) -> float:
        """Place a time."""
        return self.box.x + (time_s - self.start_s) / (self.end_s - self.start_s) * self.box.width

    def y(self, value: float) -> float:
        """Place a value; what is above the top is drawn at the top."""
        return self.box.bottom - min(max(value, 0.0), self.top) / self.top * self.box.height

    def points(self, values: Sequence[tuple[float, float]]) -> list[Point]:
        """Place values over time."""
        return [(self.x(time_s), self.y(value)) for time_s, value in values]


def draw_chart(
    panel: dict[str, Any], found: Sequence[Named], marks: Sequence[Mark], box: Box, span: tuple[float, float]
) -> Iterator[str]:
    """Draw a panel of type timeseries into a place."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    is_stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    legend = list(_legend([name for name, _ in found], box))
    height = box.height - AXIS_HEIGHT - legend[-1][1] if legend else box.height - AXIS_HEIGHT
    inside = Box(box.x + AXIS_WIDTH, box.y, box.width - AXIS_WIDTH - 8, height)
    layers = _stacked(found) if is_stacked else [one.points for _, one in found]
    values = [value for layer in layers for _, value in layer if math.isfinite(value)]
    ticks = axis_marks(unit, max(values, default=0.0) * _HEADROOM)
    plot = Plot(inside, *span, ticks[-1])
    yield from _axes(plot, unit, ticks)
    yield from _limits(panel, plot)
    for mark in marks:
        at = plot.x(mark.time_s)
        yield line((at, inside.y), (at, inside.bottom), stroke=mark.colour, stroke_dasharray="3 3")
    for index, layer in reversed(list(enumerate(layers))):
        below = layers[index - 1] if is_stacked and index else []
        yield from _layer(plot, layer, below, PALETTE[index % len(PALETTE)], is_stacked)
    for shown, _ in legend:
        yield shown


def _axes(plot: Plot, unit: str, ticks: Sequence[float]) -> Iterator[str]:
    box, scale = plot.box, scale_of(unit, ticks[-1])
    for tick in ticks:
        y = plot.y(tick)
        yield line((box.x, y), (box.right, y), stroke=GRID)
        yield text(scale.shown(tick), box.x - 5, y + 3.5, fill=FAINT, text_anchor="end")
    for number in range(TIME_MARKS + 1):
        passed_s = (plot.end_s - plot.start_s) * number / TIME_MARKS
        label = f"{int(passed_s) // 60}:{int(passed_s) % 60:02}"
        anchor = "end" if number == TIME_MARKS else "middle"
        yield text(label, plot.x(plot.start_s + passed_s), box.bottom + 13, fill=FAINT, text_anchor=anchor)


def _limits(panel: dict[str, Any], plot: Plot) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["custom"]["thresholdsStyle"]["mode"] == "off":
        return
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] <= plot.top:
            y = plot.y(step["value"])
            colour = COLOURS[step["color"]]
            yield line((plot.box.x, y), (plot.box.right, y), stroke=colour, stroke_dasharray="8 5")


def _layer(
    plot: Plot,
    layer: Sequence[tuple[float, float]],
    below: Sequence[tuple[float, float]],
    colour: str,
    is_filled: bool,
) -> Iterator[str]:
    """Draw one series: its line, with a gap where it says nothing, and perhaps the area down to the one below."""
    piece: list[tuple[float, float]] = []
    for point in [*layer, (0.0, math.nan)]:
        if math.isfinite(point[1]):
            piece.append(point)
        elif piece:
            yield polyline(plot.points(piece), stroke=colour, stroke_width=1.3)
            piece = []
    if is_filled and layer:
        floor = plot.points(below) if below else plot.points([(layer[-1][0], 0.0), (layer[0][0], 0.0)])
        floor = floor[::-1] if below else floor
        yield polygon([*plot.points(layer), *floor], fill=colour, fill_opacity=0.35)


def _stacked(found: Sequence[Named]) -> list[list[tuple[float, float]]]:
    """Add up series, each on top of the one before; what says nothing adds nothing."""
    times = sorted({time_s for _, one in found for time_s, _ in one.points})
    sums = dict.fromkeys(times, 0.0)
    layers = []
    for _, one in found:
        for time_s, value in one.points:
            sums[time_s] += value if math.isfinite(value) else 0.0
        layers.append([(time_s, sums[time_s]) for time_s in times])
    return layers


def _legend(names: Sequence[str], box: Box) -> Iterator[tuple[str, float]]:
    """Write names beside their colours, from left to right; with each, the height of the lines so far."""
    rows: list[list[tuple[int, float]]] = [[]]
    x = box.x + 10
    for index, name in enumerate(names):
        width = 22 + len(name) * LETTER
        if x + width > box.right and rows[-1]:
            rows.append([])
            x = box.x + 10
        rows[-1].append((index, x))
        x += width
    height = LEGEND_LINE * len(rows) + 4
    for number, row in enumerate(rows):
        y = box.bottom - height + LEGEND_LINE * (number + 1)
        for index, at in row:
            yield rectangle(Box(at, y - 5, 10, 3), fill=PALETTE[index % len(PALETTE)]), height
            yield text(names[index], at + 14, y, fill=FAINT), height
