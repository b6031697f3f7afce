"""This file holds the dashboards to their descriptions, to the metrics, and to what makes them readable."""

import json
import re
from typing import Any

import pytest
import yaml

from config.grafana.build import documents
from tests.unit.docs_examples import ROOT, text_of
from tests.unit.observed_metrics import served_by_all
from tests.unit.test_operations import RULES

GRAFANA = ROOT / "config" / "grafana"
DASHBOARDS = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in GRAFANA.glob("dashboards/*.json")
}
UNITS = {"s", "percentunit", "short", "none", "mps", "cps", "bytes"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
NAMES = sorted(DASHBOARDS)
OF_WORKERS, BESIDE = {"overview.json", "population.json", "stores.json"}, "beside.json"
CHOSEN = {**dict.fromkeys(OF_WORKERS, ('job="$job"', 'job=~"$job|"')), BESIDE: ('job=~"$jobs"',)}
CHOICES_OF_JOBS = {
    "label_values(tierwise_build_info, job)",
    'label_values({__name__=~"tierwise_(webhooks|profiles|rekey)_build_info"}, job)',
}
PARTS = ("", "_bucket", "_count", "_sum")
IN_NO_PANEL = {
    "tierwise_build_info": "the choice of jobs, and the mark of a new policy",
    "tierwise_webhooks_build_info": "the choice of jobs, and the mark of a new process",
    "tierwise_profiles_build_info": "the same",
    "tierwise_rekey_build_info": "the same",
    "tierwise_process_start_time_seconds": "the mark of a worker's start",
    "tierwise_process_virtual_memory_bytes": "costs nothing, says nothing",
    "tierwise_process_max_fds": "a limit that stays where it is",
}
"""Metrics that no panel shows, and why."""


def panels(name: str) -> list[dict[str, Any]]:
    """List the panels of a dashboard, without headings."""
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[str]:
    """List all questions of a dashboard."""
    board = DASHBOARDS[name]
    asked = [target["expr"] for panel in panels(name) for target in panel["targets"]]
    variables = [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    return [*asked, *variables, *(one["expr"] for one in board["annotations"]["list"])]


def test_json__is_what_is_described() -> None:
    """What is committed is what `python -m config.grafana.build` writes, no file more or less."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in GRAFANA.glob("dashboards/*")}
    assert committed == documents()


@pytest.mark.parametrize("name", NAMES)
def test_panels__say_what_they_show_and_in_which_unit(name: str) -> None:
    """Each has a title of its own, a description in sentences, a unit, a legend, and asks the chosen data source."""
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)
    for panel in panels(name):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["description"] not in titles
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == DATASOURCE, panel["title"]
        assert panel["targets"], panel["title"]
        ref_ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ref_ids)) == len(ref_ids), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == DATASOURCE, panel["title"]
            assert target["legendFormat"], panel["title"]
            assert target["instant"] != target["range"], panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_queries__take_rates_over_the_interval_that_grafana_gives(name: str) -> None:
    """A fixed span may be empty at another scrape interval; a whole view is asked for once, not for each point."""
    for panel in panels(name):
        for target in panel["targets"]:
            spans = set(re.findall(r"\[(.+?)\]", target["expr"]))
            allowed = {"$__rate_interval", "$__range"} if target["instant"] else {"$__rate_interval"}
            assert spans <= allowed, (panel["title"], spans)
            rates = re.findall(r"\b(?:rate|irate|deriv)\([^\[]+\[(.+?)\]", target["expr"])
            assert set(rates) <= {"$__rate_interval"}, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_queries__keep_to_the_chosen_job(name: str) -> None:
    """Every metric is asked of the chosen jobs; only a choice of jobs, and alerts that have none, are not."""
    for query in queries(name):
        if query in CHOICES_OF_JOBS:
            continue
        selectors = re.findall(r"\b(?:\w+:)?(?:tierwise|process|ALERTS)[\w:]*(?:\{(.*?)\})?", query)
        assert selectors, query
        assert all(any(job in one for job in CHOSEN[name]) for one in selectors), query


@pytest.mark.parametrize("name", NAMES)
def test_queries__ask_for_metrics_and_labels_that_exist(name: str) -> None:
    """Every name is served or recorded, with every label that is asked for."""
    known = served_by_all()
    names = {f"{one}{part}" for one in known for part in PARTS}
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text(encoding="utf-8")))
    for query in queries(name):
        assert not set(re.findall(r"(?<![\w:])(?:tierwise|process)_\w+", query)) - names, query
        assert not set(re.findall(r"\w+:tierwise_\w+:\w+", query)) - recorded, query
        for metric, labels in re.findall(r"(?<![\w:])((?:tierwise|process)_\w+)\{(.*?)\}", query):
            has = known.get(metric) or known[metric.rpartition("_")[0]]
            assert set(re.findall(r"(\w+)=", labels)) <= has[1] | {"job"}, query


def test_metrics__each_is_in_a_panel() -> None:
    """Whatever a process tells is shown somewhere, itself or through a rule; what is not, is named with a reason."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    recorded = {
        rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule
    }
    asked = [target["expr"] for name in NAMES for panel in panels(name) for target in panel["targets"]]
    asked += [recorded[rule] for query in asked for rule in re.findall(r"\w+:tierwise_\w+:\w+", query)]
    shown = {metric for query in asked for metric in re.findall(r"(?<![\w:])(?:tierwise|process)_\w+", query)}
    hidden = {metric for metric in served_by_all() if not shown & {f"{metric}{part}" for part in PARTS}}
    assert hidden == IN_NO_PANEL.keys()


@pytest.mark.parametrize("name", NAMES)
def test_layout__has_no_two_panels_in_one_place(name: str) -> None:
    """Numbers are unique, nothing overlaps, nothing is wider than the page."""
    everything = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: dict[tuple[int, int], str] = {}
    for panel in everything:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]


def test_dashboards__can_be_told_apart_and_chosen() -> None:
    """Each has an address of its own, links to the others, and lets choose data source, jobs and a part of them."""
    assert {*DASHBOARDS} == {*OF_WORKERS, BESIDE}
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)
    for name, board in DASHBOARDS.items():
        assert board["schemaVersion"] >= 39
        choices = ["jobs", "endpoint"] if name == BESIDE else ["job", "partition"]
        assert [one["name"] for one in board["templating"]["list"]][:3] == ["datasource", *choices]
        assert board["links"][0]["tags"] == board["tags"]
        known = {f"${one['name']}" for one in board["templating"]["list"]}
        known |= {"${datasource}", "$__rate_interval", "$__range", "$__all"}
        assert set(re.findall(r"\$\w+|\$\{\w+\}", json.dumps(board))) <= known


def test_provisioning__finds_data_and_dashboards() -> None:
    """Grafana is told of a Prometheus and of the folder where the files are mounted."""
    folder = GRAFANA / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))
    provider = yaml.safe_load((folder / "dashboards" / "tierwise.yaml").read_text(encoding="utf-8"))
    assert [one["type"] for one in source["datasources"]] == ["prometheus"]
    assert provider["providers"][0]["options"] == {"path": "/var/lib/grafana/dashboards"}
    assert provider["providers"][0]["options"]["path"] in text_of("docs/operations.md")
