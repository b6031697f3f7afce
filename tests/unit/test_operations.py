"""This file holds metrics, alerts and the runbook to each other, and has Prometheus's own tool look at them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from flows.hop.watch import HopWatch
from sinks.metrics import Metrics
from tests.prometheus_tools import needed_program
from tests.unit.docs_examples import ROOT, text_of
from tests.unit.observed_metrics import observed_metrics, served, served_by_all

PAGE = "docs/operations.md"
RULES = ROOT / "config" / "alerts" / "tierwise.rules.yaml"
RULE_TESTS = sorted((ROOT / "tests" / "alerts").glob("*.test.yaml"))
STEPS = ("See", "Check", "Act", "Verify")


@pytest.fixture
def promtool() -> str:
    """Find the program; skip without it, or in CI fail."""
    return needed_program("promtool")


@pytest.fixture
def metrics() -> Metrics:
    """Make metrics of which each has been observed, so that all labels show."""
    return observed_metrics()


def alerts() -> dict[str, dict[str, Any]]:
    """Read the alerts, by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def expectations() -> list[dict[str, Any]]:
    """List what the rule tests expect of alerts."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULE_TESTS]
    cases = [case for document in documents for case in document["tests"]]
    return [one for case in cases for one in case["alert_rule_test"]]


def described(heading: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Answer type and labels of each metric in the table under a heading."""
    table = text_of(PAGE).partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", table, re.M)
    shown = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(rows) == len(shown)
    return shown


def run(*command: str | Path, text: bytes | None = None) -> None:
    """Run a program that has to be content."""
    done = subprocess.run(command, input=text, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b""), (done.stdout + done.stderr).decode()


def test_operations_page__describes_every_metric(metrics: Metrics) -> None:
    """Each metric has a row with its type and its labels, and no row is of a metric that is gone."""
    assert described("Every metric") == served(metrics.registry)


def test_operations_page__describes_what_stands_beside_the_workers() -> None:
    """So has each metric of the commands that carry messages."""
    assert described("Metrics beside the workers") == served(HopWatch("tierwise", "profiles", "1").registry)


def test_operations_page__names_log_lines_that_are_written() -> None:
    """Each event in the table of log lines is one that some source spells."""
    table = text_of(PAGE).partition("## Log lines")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+\.\w+)`", re.sub(r"\| [^|]+ \|$", "", table, flags=re.M)))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "flows").rglob("*.py"))
    assert len(named) > 7
    assert not {event for event in named if f'"{event}"' not in sources}


def test_operations_page__says_for_each_alert_what_to_do() -> None:
    """Each alert has a heading with the four steps, and points there; no heading is left over."""
    sections = re.split(r"^### ", text_of(PAGE).partition("## Alerts")[2], flags=re.M)[1:]
    pages = {section.partition("\n")[0].strip(): section for section in sections}
    assert pages.keys() == alerts().keys()
    for name, rule in alerts().items():
        assert tuple(re.findall(r"^- \*\*(\w+):\*\*", pages[name], re.M)) == STEPS, name
        assert rule["labels"]["severity"] in pages[name].splitlines()[2], name
        assert rule["annotations"]["runbook"] == f"{PAGE}#{name.lower()}"


def test_rules__ask_for_metrics_that_exist() -> None:
    """Every name in a rule is served, or recorded by a rule."""
    text = RULES.read_text(encoding="utf-8")
    recorded = set(re.findall(r"record: (\S+)", text))
    names = set(served_by_all())
    names |= {f"{name}_{part}" for name in names for part in ("bucket", "count")}
    for rule in re.findall(r"expr: (.+?)(?=\n +(?:for|labels|-|#)|\n\n|\Z)", text, re.S):
        assert not set(re.findall(r"(?<![\w:])tierwise_\w+", rule)) - names, rule
        assert not set(re.findall(r"\w+:tierwise_\w+:\w+", rule)) - recorded, rule


def test_rules__every_alert_has_a_firing_and_a_silent_case() -> None:
    """An alert that cannot fire, or cannot keep quiet, is none."""
    firing = {one["alertname"] for one in expectations() if one["exp_alerts"]}
    silent = {one["alertname"] for one in expectations() if not one["exp_alerts"]}
    assert firing == silent == alerts().keys()


def test_promtool__finds_nothing_wrong_with_the_metrics(promtool: str, metrics: Metrics) -> None:
    """Names, units and help texts are as Prometheus wants them."""
    for registry in (metrics.registry, HopWatch("tierwise", "profiles", "1").registry):
        run(promtool, "check", "metrics", text=generate_latest(registry))


def test_promtool__accepts_the_rules(promtool: str) -> None:
    """Prometheus would load them."""
    run(promtool, "check", "rules", RULES)


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_promtool__sees_alerts_fire_and_keep_quiet(promtool: str, path: Path) -> None:
    """Each alert fires at what it is for, with its text, and at nothing near it."""
    run(promtool, "test", "rules", path)
