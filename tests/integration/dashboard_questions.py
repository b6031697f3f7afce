"""What is held of every panel on a live Prometheus. This file asks, waits for an answer, and looks at its labels."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flows.dev.dashboards.board import Board, View, ask, name_of
from flows.dev.dashboards.prometheus import PrometheusServer, Series

SPAN_S, RATE_SPAN_S = 60, 15
ANSWER_DEADLINE_S = 45.0
Answer = TypeVar("Answer")


def view(board: Board, prometheus: PrometheusServer) -> View:
    """Look at the last minute, with everything chosen as at a first look."""
    now_s = time.time()
    return View(now_s - SPAN_S, now_s, 1, RATE_SPAN_S, board.choose(prometheus))


def eventually(question: Callable[[], Answer], is_enough: Callable[[Answer], bool]) -> Answer:
    """Ask again until the answer is enough, or for too long; give the last answer."""
    give_up_s = time.monotonic() + ANSWER_DEADLINE_S
    while not is_enough(answer := question()) and time.monotonic() < give_up_s:
        time.sleep(0.2)
    return answer


def say_something(found: list[Series]) -> bool:
    """Tell whether there is an answer with a number in it."""
    return any(one.says_something for one in found)


def assert_panel_is_answered(board: Board, prometheus: PrometheusServer, panel: dict[str, Any]) -> None:
    """Check that each query gets numbers and all labels of its legend, and that no two answers are called the same."""
    for target in panel["targets"]:
        found = eventually(lambda: ask(prometheus, target, view(board, prometheus)), say_something)  # noqa: B023
        assert say_something(found), target["expr"]
        needed = labels_needed(panel, target)
        called = [tuple(one.labels.get(label, "") for label in sorted(needed)) for one in found]
        assert all(all(name) for name in called), (needed, found[0].labels)
        assert len(set(called)) == len(called), (target["legendFormat"], called)


def labels_needed(panel: dict[str, Any], target: dict[str, Any]) -> set[str]:
    """List the labels that a legend, or a table, is made of."""
    options = [one["options"] for one in panel.get("transformations", [])]
    fields = {one[field] for one in options for field in ("rowField", "columnField")}
    return fields | set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))


def assert_annotation_is_answered(
    board: Board, prometheus: PrometheusServer, annotation: dict[str, Any]
) -> list[Series]:
    """Check that marks are found, with all labels of their titles and tags; answer them."""
    target = {"expr": annotation["expr"], "instant": False}
    found = eventually(lambda: ask(prometheus, target, view(board, prometheus)), say_something)
    assert say_something(found), annotation["expr"]
    in_title = set(re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"]))
    needed = in_title | set(annotation["tagKeys"].split(","))
    assert all(one.labels.get(label) for one in found for label in needed), (needed, found)
    return found


def newest(board: Board, prometheus: PrometheusServer, title: str) -> dict[str, float]:
    """Answer the newest value of each series of a panel, by the name in its legend."""
    (panel,) = (one for one in board.panels if one["title"] == title)
    chosen = view(board, prometheus)
    found = [
        (name_of(target["legendFormat"], one.labels), one.points[-1][1])
        for target in panel["targets"]
        for one in ask(prometheus, target, chosen)
    ]
    assert len(dict(found)) == len(found), found
    return dict(found)
