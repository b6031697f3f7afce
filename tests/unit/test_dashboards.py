"""This file holds the dashboards to their descriptions, to the metrics, and to what makes them readable."""

import json
import re
from typing import Any

import pytest
import yaml

from config.grafana.build import documents
from tests.unit.docs_examples import ROOT, text_of
from tests.unit.observed_metrics import observed_metrics, served
from tests.unit.test_operations import RULES

GRAFANA = ROOT / "config" / "grafana"
DASHBOARDS = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in GRAFANA.glob("dashboards/*.json")
}
UNITS = {"s", "percentunit", "short", "none", "mps", "cps", "bytes"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
NAMES = sorted(DASHBOARDS)


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
    """Every metric is asked of one job; only a choice of jobs, and alerts that have none, are not."""
    exact, or_none = 'job="$job"', 'job=~"$job|"'
    for query in queries(name):
        if query == "label_values(tierwise_build_info, job)":
            continue
        selectors = re.findall(r"\b(?:\w+:)?(?:tierwise|process|ALERTS)[\w:]*(?:\{(.*?)\})?", query)
        assert selectors, query
        assert all(exact in one or or_none in one for one in selectors), query


@pytest.mark.parametrize("name", NAMES)
def test_queries__ask_for_metrics_and_labels_that_exist(name: str) -> None:
    """Every name is served or recorded, with every label that is asked for."""
    known = served(observed_metrics().registry)
    names = {f"{one}{part}" for one in known for part in ("", "_bucket", "_count", "_sum")}
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text(encoding="utf-8")))
    for query in queries(name):
        assert not set(re.findall(r"(?<![\w:])(?:tierwise|process)_\w+", query)) - names, query
        assert not set(re.findall(r"\w+:tierwise_\w+:\w+", query)) - recorded, query
        for metric, labels in re.findall(r"(?<![\w:])((?:tierwise|process)_\w+)\{(.*?)\}", query):
            has = known.get(metric) or known[metric.rpartition("_")[0]]
            assert set(re.findall(r"(\w+)=", labels)) <= has[1] | {"job"}, query


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
    """Each has an address of its own, links to the others, and lets choose data source, job and partition."""
    boards = DASHBOARDS.values()
    assert len({board["uid"] for board in boards}) == len(DASHBOARDS) == 3
    for board in boards:
        assert board["schemaVersion"] >= 39
        assert [one["name"] for one in board["templating"]["list"]][:3] == ["datasource", "job", "partition"]
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
