"""A dashboard as its JSON says. This file asks its questions as Grafana would: variables first, then panels."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config
from flows.dev.dashboards.prometheus import PrometheusServer, Series

FOLDER = Path(config.__file__).with_name("grafana") / "dashboards"
_LABEL_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")
Json = dict[str, Any]


@dataclass(frozen=True)
class View:
    """What is chosen: a span of time (Unix s), the step between points, the span of a rate, and the variables."""

    start_s: float
    end_s: float
    step_s: float
    rate_s: float
    variables: Mapping[str, str]

    def written_out(self, text: str) -> str:
        """Put what is chosen in the place of `$name`; KeyError where nothing is."""
        times = {"__rate_interval": f"{self.rate_s:g}s", "__range": f"{round(self.end_s - self.start_s)}s"}
        known = {**self.variables, **times}
        return re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: known[found[1] or found[2]], text)


class Board:
    """One dashboard."""

    def __init__(self, name: str) -> None:
        self.document: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))

    @property
    def panels(self) -> list[Json]:
        """List the panels, without the headings."""
        return [panel for panel in self.document["panels"] if panel["type"] != "row"]

    @property
    def annotations(self) -> list[Json]:
        """List the annotations."""
        return list(self.document["annotations"]["list"])

    @property
    def variables(self) -> list[Json]:
        """List the variables that are asked for, in order."""
        return [one for one in self.document["templating"]["list"] if one["type"] == "query"]

    def choices(self, prometheus: PrometheusServer, variable: Json, chosen: Mapping[str, str]) -> list[str]:
        """Ask for the values of a variable, with those before it chosen."""
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert found, variable
        return prometheus.label_values(View(0, 0, 0, 0, chosen).written_out(found[1]), found[2])

    def choose(self, prometheus: PrometheusServer) -> dict[str, str]:
        """Choose as Grafana does at the first look: all of several, else what is preset, else the first."""
        chosen: dict[str, str] = {}
        for variable in self.variables:
            values = self.choices(prometheus, variable, chosen)
            preset = variable["current"].get("value")
            one = preset if preset in values else values[0] if values else ""
            chosen[variable["name"]] = variable["allValue"] or one
        return chosen


def ask(prometheus: PrometheusServer, target: Json, view: View) -> list[Series]:
    """Ask one question of a panel."""
    expr = view.written_out(target["expr"])
    if target["instant"]:
        return prometheus.at(expr, view.end_s)
    return prometheus.over(expr, view.start_s, view.end_s, view.step_s)


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """Call a series as the legend says."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip()
