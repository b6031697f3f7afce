"""This file asks the dashboards on a Prometheus that looks at two workers of one group, each under two jobs."""

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows.dev.dashboards.board import Board, View, ask, name_of
from flows.dev.dashboards.live import LiveShop
from flows.dev.dashboards.prometheus import JOB, Series
from flows.dev.stack import PARTITIONS
from flows.dev.worker_metrics import summed
from tests.prometheus_tools import needed_program

OTHER_JOB, MOVED_JOB = "another", "moved"
EVENTS, RATE = 20_000, 2_000.0
DEADLINE_S = 60.0
BOARDS = {name: Board(name) for name in ("overview", "population", "stores")}
PANELS = {(name, panel["title"]): panel for name, board in BOARDS.items() for panel in board.panels}
MOVED = {
    "shard_users": 7,
    "shard_users_in_memory": 3,
    'rung_users{ladder="tier", rung="gold"}': 7,
    'rung_users{ladder="new_user", rung="on"}': 7,
    'lag_messages{topic="orders"}': 7,
    'lag_seconds{topic="orders"}': 7,
    'partition_stopped{topic="orders"}': 1,
    "deadlines_behind": 7,
    "outbox_pending": 7,
}
"""What two workers say of a shard that went from one to the other since the first was asked last."""
SHOWN_ONCE = {
    ("overview", "Partitions stopped"): {"Partitions stopped": 1},
    ("overview", "Deadlines behind"): {"Deadlines behind": 7},
    ("overview", "Changes waiting for Kafka"): {"0": 7},
    ("overview", "Backlog"): {"orders 0": 7},
    ("overview", "Oldest message missing, by partition"): {"orders 0": 7},
    ("population", "Users"): {"Users": 7},
    ("population", "Users at rest"): {"Users at rest": 4},
    ("population", "Rungs of $ladder"): {"gold": 7},
    ("population", "Tags"): {"new_user": 7},
    ("population", "Deadlines behind"): {"0": 7},
    ("population", "Users in memory and at rest"): {"in memory": 3},
    ("stores", "Backlog"): {"orders 0": 7},
    ("stores", "Outbox"): {"0": 7},
    ("stores", "Stopped"): {"orders 0": 1},
}
EVERY_SHARD = {str(number) for number in range(PARTITIONS)}


def moved_rules() -> dict[str, Any]:
    """Write rules that make Prometheus know these series, under a job of their own."""
    rules = []
    for instance in ("left", "came"):
        for text, value in MOVED.items():
            name, _, rest = text.partition("{")
            labels = dict(re.findall(r'(\w+)="(\w+)"', rest))
            labels |= {"job": MOVED_JOB, "instance": instance, "shard": "0"}
            rules.append({"record": f"tierwise_{name}", "expr": f"vector({value})", "labels": labels})
    return {"name": "moved", "rules": rules}


class Two:
    """Two workers that have scored everything, and what Prometheus says of them."""

    def __init__(self, live: LiveShop, started_s: float) -> None:
        self.live = live
        self._started_s = started_s

    def said(self, name: str, label: str = "") -> float:
        """Add up what each worker itself says in the series with a label."""
        return sum(self._said_by(port, f"tierwise_{name}", label) for port in self.live.workers)

    def _said_by(self, port: int, name: str, label: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return summed("\n".join(line for line in lines if label in line)).get(name, 0.0)

    def ask(self, board: str, title: str, number: int = 0, job: str = JOB) -> list[Series]:
        """Ask a question of a panel, with one of the jobs chosen, over all the time since the start."""
        now_s = time.time()
        chosen = BOARDS[board].choose(self.live.prometheus) | {"job": job}
        target = PANELS[board, title]["targets"][number]
        return ask(self.live.prometheus, target, View(self._started_s, now_s, 1, 15, chosen))

    def newest(self, board: str, title: str, job: str = JOB) -> dict[str, float]:
        """Answer the newest value of each series of a panel's first question, by name."""
        legend = PANELS[board, title]["targets"][0]["legendFormat"]
        return {name_of(legend, one.labels): one.points[-1][1] for one in self.ask(board, title, job=job)}


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    """Run two workers until all is scored; skip where there is no Prometheus, or in CI fail."""
    needed_program("prometheus")
    started_s = time.time()
    with LiveShop(EVENTS, RATE, workers=2, jobs=(JOB, OTHER_JOB), more_rules=moved_rules()) as live:
        two = Two(live, started_s)
        wait_until(lambda: two.said("messages_consumed_total") >= EVENTS)
        live.check()
        wait_until(lambda: two.said("outbox_pending") == two.said("lag_messages") == 0)
        wait_until(lambda: two.newest("population", "Users") == {"Users": two.said("shard_users")})
        yield two


def wait_until(holds: Callable[[], bool]) -> None:
    """Return once a condition holds."""
    give_up_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.2)


def test_variables__offer_both_jobs_and_every_partition_once(two: Two) -> None:
    """One group is chosen at a time, and has the partitions of both of its workers."""
    for board in BOARDS.values():
        job, partition = board.variables[:2]
        assert board.choices(two.live.prometheus, job, {}) == [OTHER_JOB, JOB]
        assert set(board.choices(two.live.prometheus, partition, {"job": JOB})) == EVERY_SHARD


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_panel__calls_no_two_series_the_same(two: Two, name: str, title: str) -> None:
    """Whatever a panel shows of two workers can be told apart."""
    for number, target in enumerate(PANELS[name, title]["targets"]):
        fields = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        options: Any = [one["options"] for one in PANELS[name, title].get("transformations", [])]
        fields += [one[field] for one in options for field in ("rowField", "columnField")]
        found = two.ask(name, title, number)
        called = Counter(tuple(one.labels.get(field, "") for field in fields) for one in found)
        assert not [one for one, times in called.items() if times > 1], target["expr"]


def test_totals__are_those_of_both_workers_once(two: Two) -> None:
    """What is added up is what the two say themselves, neither one of them nor both twice."""
    for title in ("Messages without a fate", "Partitions without owner", "Partitions stopped"):
        assert set(two.newest("overview", title).values()) == {0}, title
    assert set(two.newest("overview", "Changes waiting for Kafka")) == EVERY_SHARD
    assert len(two.newest("overview", "Backlog")) == 2 * PARTITIONS
    assert sum(two.newest("overview", "Partitions of a worker").values()) == PARTITIONS
    assert len(two.newest("overview", "Partitions of a worker")) == 2
    wait_until(lambda: two.newest("population", "Users") == {"Users": two.said("shard_users")})
    rungs = [*two.newest("population", "Rungs of $ladder")]
    assert rungs == ["bronze", "gold", "platinum", "silver"]
    wait_until(
        lambda: (
            two.newest("population", "Rungs of $ladder")
            == {rung: two.said("rung_users", f'ladder="tier",rung="{rung}"') for rung in rungs}
        )
    )


@pytest.mark.parametrize(("name", "title"), SHOWN_ONCE)
def test_shard_that_moved__is_shown_once(two: Two, name: str, title: str) -> None:
    """Until the worker that had it is asked again, both show it, and no panel adds them up."""
    assert two.newest(name, title, MOVED_JOB) == SHOWN_ONCE[name, title]


@pytest.mark.parametrize(
    ("title", "metric"),
    [("Changes", "ladder_changes_total"), ("New users", "users_new_total")],
)
def test_increase__is_that_of_both_workers_once(two: Two, title: str, metric: str) -> None:
    """What was counted since the start is near what both have counted: increase() reckons beyond its scrapes."""
    (increase,) = two.newest("population", title).values()
    assert 0.75 * two.said(metric) < increase < 1.25 * two.said(metric)


def test_handover__leaves_nobody_out(two: Two) -> None:
    """When one worker ends, all users and partitions are soon shown as the other one's."""
    standing = sum(two.newest("population", "Rungs of $ladder").values())
    _, worker = two.live.workers.popitem()
    assert worker.stop(15.0) == 0
    wait_until(lambda: two.said("owned_partitions") == PARTITIONS)
    wait_until(lambda: sum(two.newest("population", "Rungs of $ladder").values()) >= standing)
    wait_until(lambda: two.newest("population", "Users") == {"Users": two.said("shard_users")})
    wait_until(lambda: two.newest("overview", "Partitions without owner") == {"Partitions without owner": 0})
