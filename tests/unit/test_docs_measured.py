"""This file holds the numbers in documents to the results of benchmarks that are committed beside them."""

import json
import re
from statistics import median

import pytest

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.table import CEILING, OURS, digits, table, times_ours
from tests.unit.docs_examples import ROOT, text_of

RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("name", "group", "variants"),
    [
        ("reading", "us_of_cpu_a_message", ("direct", "objects")),
        ("decode", "us_per_message", ("kernel", "checked path")),
        ("commit_encoding", "us_per_user", ("multi_exec client", "multi_exec server")),
    ],
)
def test_readme__measured_numbers_are_those_of_the_results(
    name: str, group: str, variants: tuple[str, str]
) -> None:
    """A number in prose is the median of a committed result."""
    runs = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))[group]
    shown = " / ".join(three_digits(median(runs[variant])) for variant in variants)
    measured = (
        text_of("README.md").partition("<!-- measured:begin -->")[2].partition("<!-- measured:end -->")[0]
    )
    assert f"| {shown} us |" in measured


@pytest.mark.parametrize("name", ["end_to_end", "end_to_end_job"])
def test_readme__share_of_the_ceiling_is_that_of_the_result(name: str) -> None:
    """What one worker makes of a stream is quoted as the committed median."""
    shares = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["share_of_ceiling"]
    assert f"| {three_digits(median(shares))} | `make bench" in text_of("README.md")


@pytest.mark.parametrize("name", ["end_to_end", "end_to_end_job", "end_to_end_1m"])
def test_performance_page__rounds_are_those_of_the_result(name: str) -> None:
    """Each round of one worker is quoted, so that everybody sees how far they are apart."""
    shares = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["share_of_ceiling"]
    assert f"| {', '.join(f'{share:.2f}' for share in shares)} | `make bench" in text_of(
        "docs/performance.md"
    )


def test_performance_page__latencies_are_those_of_the_result() -> None:
    """How long an order takes to be seen is quoted for each rate and interval, with what it took."""
    for run in json.loads((RESULTS / "latency.json").read_text(encoding="utf-8"))["runs"]:
        seen = (" / ".join(map(str, run[name].values())) for name in ("visible_ms", "published_ms"))
        cores = f"{run['worker_cores']} / {run['store_cores']}"
        assert f"| {run['interval_ms']} | {run['rate']:,} | {' | '.join(seen)} | {cores} |" in text_of(
            "docs/performance.md"
        )


def test_performance_page__scale_is_that_of_the_result() -> None:
    """Each case is quoted; of several rounds the first is."""
    record = json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))
    assert f"`{record['command']}`" in text_of("docs/performance.md")
    shown = (
        text_of("docs/performance.md").partition("<!-- scale:begin -->")[2].partition("<!-- scale:end -->")[0]
    )
    cases = {name: rounds[0] for name, rounds in record.items() if isinstance(rounds, list)}
    stream = ("events_per_s", "cpu_s_per_million", "store_cpu_s_per_million", "rss_mb")
    for name, case in cases.items():
        for columns in (stream, ("ready_s", "first_commit_s", "rss_mb")):
            if columns[0] in case:
                assert f"| {name} | {' | '.join(f'{case[one]:,}' for one in columns)} |" in shown
        for column in ("takeover_s", "deadlines_per_s"):
            if column in case:
                assert f": {case[column]:,} " in shown


def test_performance_page__memory_is_that_of_the_result() -> None:
    """Every part of a user is quoted."""
    record = json.loads((RESULTS / "footprint.json").read_text(encoding="utf-8"))
    text = text_of("docs/performance.md")
    shown = text.partition("<!-- footprint:begin -->")[2].partition("<!-- footprint:end -->")[0]
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \|$", shown, re.M)
    assert rows == [(name, str(size)) for of in ("worker", "store") for name, size in record[of].items()]


def test_performance_page__cold_start_is_that_of_the_result() -> None:
    """Each mark of a start is quoted, with its range."""
    record = json.loads((RESULTS / "cold_start.json").read_text(encoding="utf-8"))
    text = text_of("docs/performance.md")
    shown = text.partition("<!-- cold-start:begin -->")[2].partition("<!-- cold-start:end -->")[0]
    empty, warm = record["seconds_from_start"]["empty"], record["seconds_from_start"]["warm"]
    assert f"of {len(warm['ready'])} rounds" in text
    assert f"`{record['command']}`" in text
    assert [row.split("|")[2:4] for row in shown.strip().splitlines()[2:]] == [
        [f" {median(one):.2f} ({one[0]:.2f} to {one[-1]:.2f}) " for one in (empty[mark], warm[mark])]
        for mark in empty
    ]


def test_readme__waits_of_readers_are_those_of_the_result() -> None:
    """How long a read takes is quoted as the committed medians."""
    rounds = json.loads((RESULTS / "reads.json").read_text(encoding="utf-8"))
    names = ("load, store and reader first", "load", "rest")
    shown = [three_digits(median(one["p99_ms"] for one in rounds[name])) for name in names]
    assert f"{float(shown[0]):.2f} ms at most" in text_of("docs/performance.md")
    assert f"| {' / '.join(shown)} ms |" in text_of("README.md")


def three_digits(number: float) -> str:
    """Write a number with three significant digits."""
    return f"{number:#.3g}"


def test_architecture_page__ratios_are_those_of_the_results() -> None:
    """The numbers behind three decisions are those of their committed results."""
    text = text_of("docs/architecture.md")
    commit = json.loads((RESULTS / "commit_encoding.json").read_text(encoding="utf-8"))
    decode = json.loads((RESULTS / "decode.json").read_text(encoding="utf-8"))["ratio"]
    for ratio in (*commit["ratios"].values(), commit["one_piece_ratios"]["server"]):
        assert f"{ratio:.2f} times" in text
    assert f"{decode:.0f} times" in text


def test_architecture_page__cost_of_publishing_is_that_of_the_result() -> None:
    """What a change costs the relay, either way, is quoted as the committed medians."""
    runs = json.loads((RESULTS / "publishing.json").read_text(encoding="utf-8"))["us_of_cpu_a_change"]
    objects, direct = (three_digits(median(runs[f"{way} writer"])) for way in ("objects", "direct"))
    assert f"{objects} us of CPU on its thread, and {direct} without" in text_of("docs/architecture.md")


def test_reliability_page__memory_is_that_of_the_result() -> None:
    """The table of memory is the committed result, case by case."""
    result = json.loads((RESULTS / "memory.json").read_text(encoding="utf-8"))
    text = text_of("docs/reliability.md")
    shown = text.partition("<!-- memory:begin -->")[2].partition("<!-- memory:end -->")[0]
    assert f"`{result['command']}`" in shown
    for name, case in result["cases"].items():
        memory = f"{case['rss_mb']} / {case['peak_mb']}"
        assert f"| {name} | {memory} | {case['first_commit_s']} | {case['store_mb']} |" in shown


def test_performance_page__table_is_that_of_the_result() -> None:
    """Who made what of the same stream is what the committed result says, command and day included."""
    record = json.loads((RESULTS / "peers.json").read_text(encoding="utf-8"))
    text = text_of("docs/performance.md")
    shown = text.partition("<!-- peers:begin -->")[2].partition("<!-- peers:end -->")[0]
    assert f"Made {record['date']} by `{record['command']}`" in shown
    assert table(record) in shown
    assert {peer.name for peer in PEERS} == {*record["results"], *record["not_run"]} - {CEILING, OURS}


def test_readme__others_are_those_of_the_result() -> None:
    """What an event costs others is quoted as a multiple of what the same costs us."""
    results = json.loads((RESULTS / "peers.json").read_text(encoding="utf-8"))["results"]
    row = re.search(r"a multiple of ours: (.+?) \| (.+?) \|", text_of("README.md"))
    assert row
    names = [f"{name}, tuned" for name in row[1].split(" / ")]
    ours = results[OURS]["cpu_s_per_million"]
    assert row[2] == " / ".join(digits(times_ours(results[name], ours)) for name in names)
