"""What every peer in Python is: one command line, one meter. This file needs nothing but Python."""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMIT_S = 0.25
"""How often the tuned peers write who changed meanwhile: as often as a worker does."""
JOINING = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
"""With librdkafka's defaults a group join takes 23 s on the embedded broker."""
READING = {**JOINING, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}


@dataclass(frozen=True)
class Task:
    """What to read, where to write, how much. `way` is "taught" or "tuned"."""

    bootstrap: str
    redis_url: str
    redis_pid: int
    prefix: str
    topics: list[str]
    events: int
    warm: int
    way: str
    folder: Path

    @property
    def changes(self) -> str:
        """Name the topic of changes."""
        return f"{self.prefix}.changes"

    def key(self, user_id: str) -> str:
        """Name the hash of a user."""
        return f"{self.prefix}:user:{user_id}"


def read_task() -> Task:
    """Read the command line that all peers have."""
    options = argparse.ArgumentParser()
    options.add_argument("--bootstrap", required=True, help="the Kafka broker")
    options.add_argument("--redis-url", required=True)
    options.add_argument("--redis-pid", type=int, required=True, help="its process, to see what CPU it uses")
    options.add_argument("--prefix", required=True, help="of keys, topics and group")
    options.add_argument("--topics", nargs="+", required=True, help="to read from the beginning")
    options.add_argument(
        "--events", type=int, required=True, help="in these topics; the peer ends after them"
    )
    options.add_argument("--warm", type=int, required=True, help="of these events, before the clock runs")
    options.add_argument("--way", choices=("taught", "tuned"), required=True)
    options.add_argument("--folder", type=Path, required=True, help="for what it writes to disk")
    return Task(**vars(options.parse_args()))


class Meter:
    """Counts the events that are done, in the store too; the clock runs from `warm` of them to the last."""

    def __init__(self, task: Task, root_pid: int | None = None) -> None:
        self._task, self._root_pid = task, root_pid or os.getpid()
        self._done = self._done_at_start = 0
        self._started_s = self._cpu_s = self._store_cpu_s = 0.0

    @property
    def left(self) -> int:
        """Answer how many events are still to do."""
        return self._task.events - self._done

    @property
    def is_done(self) -> bool:
        """Tell whether all events are done."""
        return self.left <= 0

    def took(self, count: int) -> None:
        """Count so many more."""
        self._done += count
        if self._done >= self._task.warm:
            self.start()

    def start(self) -> None:
        """Let the clock run, unless it does: for an engine that takes so many events at once that none are warm."""
        if not self._started_s:
            self._done_at_start = self._done
            self._started_s, self._cpu_s = time.monotonic(), cpu_seconds_of_tree(self._root_pid)
            self._store_cpu_s = cpu_seconds_of_tree(self._task.redis_pid)

    def figures(self) -> dict[str, float]:
        """Answer what it took so far."""
        return {
            "messages": self._done - self._done_at_start,
            "wall_s": time.monotonic() - self._started_s,
            "cpu_s": cpu_seconds_of_tree(self._root_pid) - self._cpu_s,
            "store_cpu_s": cpu_seconds_of_tree(self._task.redis_pid) - self._store_cpu_s,
        }

    def finish(self) -> None:
        """Print what it took, and end the process: no engine here has an end of its own."""
        os.write(1, f"\n{json.dumps(self.figures())}\n".encode())  # sys.stdout may be an engine's log by now.
        os._exit(0)


def cpu_seconds_of_tree(pid: int) -> float:
    """Answer the CPU time of a process and all below it, those that ended too."""
    return sum(map(_ticks, _tree(pid))) / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            yield from _tree(int(child))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))
