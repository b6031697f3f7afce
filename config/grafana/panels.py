"""
What a dashboard says, in few words. This file holds the nouns; layout.py turns them into Grafana's JSON.

In a query `JOB` stands for the chosen job, and `SHARD` for that and the chosen partitions:
`tierwise_lag_messages{SHARD}`. Of what runs beside the workers `BESIDE` stands for the chosen jobs, and `ENDPOINT`
for these and the chosen endpoints. Rates are taken over `$__rate_interval`, sums over a whole view over `$__range`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "heatmap", "table"]
Step = tuple[float | None, str]
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
WHOLE_WIDTH = 24


@dataclass(frozen=True)
class Query:
    """One question to Prometheus, and how each answer is called: `{{label}}` in the legend is that label's value."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """
    One picture.

    Attributes:
        unit: as Grafana names it: s, percentunit, short, ...
        width, height: in units of Grafana's grid, 24 wide.
        steps: the colour from each value on; the first has none.
        stacked: areas on top of each other rather than lines.
        rows, columns: of a table, the labels that make them.
    """

    kind: Kind
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    steps: tuple[Step, ...] = ((None, GREEN),)
    stacked: bool = False
    rows: str = ""
    columns: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values that a label has."""

    name: str
    label: str
    metric: str
    of_label: str
    preset: str = ""
    several: bool = False


@dataclass(frozen=True)
class Annotation:
    """
    Marks in all pictures of a dashboard.

    Attributes:
        value_is_time: the mark stands at the answer's value, in Unix ms, rather than at the answer's time.
    """

    name: str
    expr: str
    title: str
    text: str
    tags: str
    colour: str
    value_is_time: bool = False


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]


def stat(title: str, description: str, unit: str, expr: str, *steps: Step, width: int = 4) -> Panel:
    """Show the newest value as a number."""
    queries = (Query(expr, title),)
    return Panel("stat", title, description, unit, queries, width, 4, steps or ((None, BLUE),))


def lines(
    title: str, description: str, unit: str, *queries: Query, width: int = 8, steps: tuple[Step, ...] = ()
) -> Panel:
    """Show values over time, a line each; steps become dashed lines."""
    return Panel("timeseries", title, description, unit, queries, width, steps=steps or ((None, GREEN),))


def areas(title: str, description: str, unit: str, *queries: Query, width: int = 8) -> Panel:
    """Show parts of a whole over time, stacked."""
    return Panel("timeseries", title, description, unit, queries, width, stacked=True)


def once(gauge: str, *labels: str) -> str:
    """
    Ask for a gauge of a shard, or of a shard and more, whoever shows it.

    A shard that moves is shown by both of its workers, until the old one is scraped again.
    """
    return f"max by ({', '.join((*labels, 'shard'))}) ({gauge})"


def quantiles(histogram: str) -> tuple[Query, ...]:
    """Ask for median, 95th and 99th percentile of a histogram, all workers together."""
    rate = f"sum by (le) (rate({histogram}_bucket{{JOB}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({part}, {rate})", name)
        for part, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )
