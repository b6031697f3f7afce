"""
Break real servers and workers under load, and hold what comes out to the reference.

`python -m tests.faults` is the short form, `--soak` the long one. Exit code 1 when anything was lost, doubled,
misplaced or wrong, or when a control, a worker without one of its safeguards, got away with it.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from tests.faults import report
from tests.faults.campaign import Result, run
from tests.faults.catalogue import FAULTS, Fault
from tests.faults.journal import Journal
from tests.kafka.jars import jars

CONTROL_ATTEMPTS = 3
REQUIRED = "TIERWISE_REQUIRE_KAFKA"


def main() -> int:
    """Carry out what is asked for; answer the exit code."""
    asked = _arguments()
    started_s = time.monotonic()
    faults, are_good = _possible([fault for fault in FAULTS if _is_asked_for(fault, asked)])
    import_module("flows.assembly")  # Compiles the kernels, where it must be, once instead of in each world.
    if any(fault.scene.on_apache for fault in faults):
        jars()  # Fetched once, likewise.
    journal = Journal(asked.resume)
    rows = []
    with ExitStack() as stack:
        # A process for each world: librdkafka's threads and the store's connections of one are gone with it.
        at_work, waiting = (
            stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1))
            for jobs in (asked.jobs, 1)
        )
        campaign = [
            Row(waiting if fault.waits else at_work, journal, fault, _count(fault, asked) or 1, asked.seed)
            for fault in faults
        ]
        for row in campaign:
            row.collect()
            are_good &= row.is_good
            rows.append(report.row(row.fault, row.result, row.control))
            verdict = "good" if row.is_good else "BAD "
            print(f"{time.monotonic() - started_s:5.0f} s  {verdict} {rows[-1]}", flush=True)
            row.explain()
            if asked.save:
                report.save(rows, _command(), asked.soak)
    return 0 if are_good else 1


class Row:
    """One fault: its worlds, and its control, all under way from the beginning."""

    def __init__(
        self, pool: ProcessPoolExecutor, journal: Journal, fault: Fault, count: int, seed: int
    ) -> None:
        self.fault = fault
        self._pool = pool
        self._journal = journal
        self._seed = seed
        portions = enumerate(_portions(count, fault.per_world))
        self._worlds = [self._begin(hits, seed + number, False) for number, hits in portions]
        self._next_control = self._begin_control(0)
        self.result = Result()
        self.control = Result()

    @property
    def is_good(self) -> bool:
        """Tell whether nothing happened where nothing may, and something where it must."""
        return self.result.is_clean and self.control.is_broken

    def collect(self) -> None:
        """Wait for the worlds; repeat the control with other seeds until it shows what is missing."""
        for world in self._worlds:
            self.result += world()
        for attempt in range(1, CONTROL_ATTEMPTS + 1):
            self.control += self._next_control()
            if self.control.is_broken or attempt == CONTROL_ATTEMPTS:
                return
            self._next_control = self._begin_control(attempt)

    def explain(self) -> None:
        """Print what the table has no room for."""
        for name, one in (("", self.result), ("control: ", self.control)):
            if one.misses or one.restarts:
                print(
                    f"         {name}{one.misses} injuries missed, {one.restarts} workers ended by themselves"
                )
        if self.result.failure or not self.control.is_broken:
            print(self.result.failure or self.control.failure, flush=True)

    def _begin_control(self, attempt: int) -> Callable[[], Result]:
        return self._begin(self.fault.control, self._seed + 1_000 + attempt, True)

    def _begin(self, hits: int, seed: int, is_control: bool) -> Callable[[], Result]:
        """Begin a world, unless an earlier run has finished it; answer what waits for its result."""
        name = f"{self.fault.name} x{hits} seed {seed}{' control' if is_control else ''}"
        if (known := self._journal.get(name)) is not None:
            return lambda: known
        future: Future[Result] = self._pool.submit(run, self.fault, hits, seed, is_control)
        future.add_done_callback(
            lambda done: (
                None if done.cancelled() or done.exception() else self._journal.add(name, done.result())
            )
        )
        return future.result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--soak", action="store_true", help="the long form, about an hour")
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--count", type=int, help="how often each fault must hit, instead of the usual")
    parser.add_argument("--seed", type=int, default=1, help="of stories and moments")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="worlds side by side")
    parser.add_argument("--save", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep there what is finished, and do not do it again"
    )
    return parser.parse_args()


def _possible(faults: list[Fault]) -> tuple[list[Fault], bool]:
    """Leave out what this machine lacks something for, and say so; tell whether that may be."""
    possible, may_be = [], True
    for fault in faults:
        if lacks := fault.scene.lacks():
            print(f"skipped: {fault.name}, for want of {lacks}", flush=True)
            may_be &= not (fault.scene.on_apache and os.environ.get(REQUIRED))
        else:
            possible.append(fault)
    return possible, may_be


def _is_asked_for(fault: Fault, asked: argparse.Namespace) -> bool:
    return fault.name in asked.only if asked.only else _count(fault, asked) > 0


def _count(fault: Fault, asked: argparse.Namespace) -> int:
    usual: int = fault.soak if asked.soak else fault.short
    return asked.count or usual


def _portions(count: int, per_world: int) -> list[int]:
    return [min(per_world, count - first) for first in range(0, count, per_world)]


def _command() -> str:
    words = [word for word in sys.argv[1:] if word != "--save"]
    return shlex.join(["python", "-m", "tests.faults", *words])


if __name__ == "__main__":
    sys.exit(main())
