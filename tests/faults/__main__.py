"""
Break real servers and workers under load, and hold what comes out to the reference.

`python -m tests.faults` is the short form, `--soak` the long one. Exit code 1 when anything was lost, doubled,
misplaced or wrong, or when a control, a worker without one of its safeguards, got away with it.
"""

import argparse
import shlex
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from tests.faults import report
from tests.faults.campaign import FAULTS, HITS_PER_WORLD, Fault, Result, run

CONTROL_ATTEMPTS = 3


def main() -> int:
    """Carry out what is asked for; answer the exit code."""
    asked = _arguments()
    started_s = time.monotonic()
    rows, are_good = [], True
    faults = [fault for fault in FAULTS if (fault.name in asked.only if asked.only else _count(fault, asked))]
    # A process for each world: librdkafka's threads and the store's connections of one are gone with it.
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        for row in [Row(pool, fault, _count(fault, asked) or 1, asked.seed) for fault in faults]:
            row.collect()
            are_good &= row.is_good
            rows.append(report.row(row.fault, row.result, row.control))
            verdict = "good" if row.is_good else "BAD "
            print(f"{time.monotonic() - started_s:5.0f} s  {verdict} {rows[-1]}", flush=True)
            row.explain()
    if asked.save:
        report.save(rows, _command())
    return 0 if are_good else 1


class Row:
    """One fault: its worlds, and its control, all under way from the beginning."""

    def __init__(self, pool: ProcessPoolExecutor, fault: Fault, count: int, seed: int) -> None:
        self.fault = fault
        self._pool = pool
        self._seed = seed
        portions = enumerate(_portions(count))
        self._worlds = [pool.submit(run, fault, hits, seed + number, False) for number, hits in portions]
        self._next_control = self._submit_control(0)
        self.result = Result()
        self.control = Result()

    @property
    def is_good(self) -> bool:
        """Tell whether nothing happened where nothing may, and something where it must."""
        return self.result.is_clean and self.control.is_broken

    def collect(self) -> None:
        """Wait for the worlds; repeat the control with other seeds until it shows what is missing."""
        for world in self._worlds:
            self.result += world.result()
        for attempt in range(1, CONTROL_ATTEMPTS + 1):
            self.control += self._next_control.result()
            if self.control.is_broken or attempt == CONTROL_ATTEMPTS:
                return
            self._next_control = self._submit_control(attempt)

    def explain(self) -> None:
        """Print what the table has no room for."""
        for name, one in (("", self.result), ("control: ", self.control)):
            if one.misses or one.restarts:
                print(
                    f"         {name}{one.misses} injuries missed, {one.restarts} workers ended by themselves"
                )
        if self.result.failure or not self.control.is_broken:
            print(self.result.failure or self.control.failure, flush=True)

    def _submit_control(self, attempt: int) -> Future[Result]:
        seed = self._seed + 1_000 + attempt
        return self._pool.submit(run, self.fault, self.fault.control, seed, True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--soak", action="store_true", help="the long form, about an hour")
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--count", type=int, help="how often each fault must hit, instead of the usual")
    parser.add_argument("--seed", type=int, default=1, help="of stories and moments")
    parser.add_argument("--jobs", type=int, default=3, help="worlds side by side")
    parser.add_argument("--save", action="store_true", help="write the table into docs/reliability.md")
    return parser.parse_args()


def _count(fault: Fault, asked: argparse.Namespace) -> int:
    usual: int = fault.soak if asked.soak else fault.short
    return asked.count or usual


def _portions(count: int) -> list[int]:
    return [min(HITS_PER_WORLD, count - first) for first in range(0, count, HITS_PER_WORLD)]


def _command() -> str:
    return shlex.join(["python", "-m", "tests.faults", *(word for word in sys.argv[1:] if word != "--save")])


if __name__ == "__main__":
    sys.exit(main())
