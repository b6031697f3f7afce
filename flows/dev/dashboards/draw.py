"""
`python -m flows.dev.dashboards.draw` draws the overview from its JSON and from live data. This file runs that.

A worker scores half a year of the demo's shop, Redis is frozen for some seconds in between, so that there is
something to see, and Prometheus (Debian: apt-get install prometheus) looks at it. Nothing here is Grafana.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.dev.child import ChildFailed
from flows.dev.dashboards.board import Board, View, ask, name_of
from flows.dev.dashboards.chart import COLOURS, Mark
from flows.dev.dashboards.live import LiveShop
from flows.dev.dashboards.picture import Look, draw_page
from flows.dev.dashboards.prometheus import PrometheusServer
from flows.dev.load import LoadFailed

PICTURE = Path("docs/dashboard.svg")
SECONDS, RATE, FROZEN_S = 180, 1_500.0, 3
RATE_SPAN_S, POINTS = 15, 160
COMMAND = "python -m flows.dev.dashboards.draw"


def main() -> int:
    """Run, look, draw, and answer the exit code."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Draw the overview from its JSON and live data."
    )
    parser.add_argument("--to", type=Path, default=PICTURE, help=f"file to write [{PICTURE}]")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"how long to look [{SECONDS}]")
    args = parser.parse_args()
    try:
        with LiveShop(round(args.seconds * RATE), RATE) as live:
            started_s = time.time()
            _pass_time(live, args.seconds)
            look = look_at(Board("overview"), live.prometheus, started_s, time.time())
    except (ChildFailed, LoadFailed, FileNotFoundError) as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 1
    args.to.write_text(
        draw_page(Board("overview").document, look, caption(started_s, args.seconds)), encoding="utf-8"
    )
    return 0


def caption(started_s: float, seconds: float) -> tuple[str, str]:
    """Say what the picture is, and what it is not."""
    day = datetime.fromtimestamp(started_s, UTC).date().isoformat()
    return (
        f"Not a screenshot of Grafana: drawn by `{COMMAND}`"
        " from config/grafana/dashboards/overview.json and live data.",
        f"One worker on {day}: half a year of a made-up shop in {seconds:g} s, {RATE:,.0f} messages a second."
        f" Two thirds on, Redis was frozen for {FROZEN_S} s.",
    )


def look_at(board: Board, prometheus: PrometheusServer, start_s: float, end_s: float) -> Look:
    """Ask all that a dashboard asks."""
    start_s = round(start_s, 3)  # As Prometheus does: what it answers for the first moment is not before it.
    chosen = board.choose(prometheus)
    view = View(start_s, end_s, (end_s - start_s) / POINTS, RATE_SPAN_S, chosen)
    found = {
        panel["id"]: [
            (name_of(target["legendFormat"], one.labels), one)
            for target in panel["targets"]
            for one in sorted(ask(prometheus, target, view), key=lambda one: sorted(one.labels.items()))
        ]
        for panel in board.panels
    }
    marks = [mark for one in board.annotations for mark in _marks(prometheus, one, view)]
    shown = ", ".join(f"{one['label']}: {_readable(chosen[one['name']])}" for one in board.variables)
    return Look((start_s, end_s), found, marks, shown)


def _marks(prometheus: PrometheusServer, annotation: dict[str, Any], view: View) -> list[Mark]:
    """Find what an annotation marks in a span: where a series begins, or the times that it names."""
    series = prometheus.over(view.written_out(annotation["expr"]), view.start_s, view.end_s, view.step_s)
    colour = COLOURS[annotation["iconColor"]]
    if annotation["useValueForTime"]:
        times = {value / 1000 for one in series for _, value in one.points}
    else:
        times = {one.points[0][0] for one in series}
    return [Mark(time_s, colour) for time_s in sorted(times) if view.start_s <= time_s <= view.end_s]


def _readable(chosen: str) -> str:
    return "All" if chosen == ".*" else chosen


def _pass_time(live: LiveShop, seconds: float) -> None:
    """Let the shop run, its Redis frozen after two thirds of the time."""
    freeze_s = time.monotonic() + seconds * 2 / 3
    end_s = time.monotonic() + seconds
    while time.monotonic() < freeze_s:
        live.check()
        time.sleep(0.5)
    live.store.pause()
    time.sleep(FROZEN_S)
    live.store.resume()
    while time.monotonic() < end_s:
        live.check()
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
