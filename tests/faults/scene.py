"""What the world of a row is made of. This file describes it, and says what this machine lacks for it."""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.jars import missing_programs

COMPILER = "cc"
CLOCK_SOURCE = Path(__file__).with_name("false_clock.c")
CLOCK = "clock"


@dataclass(frozen=True)
class Scene:
    """
    How a world is set up.

    Attributes:
        bad_store_link: workers reach the store through a proxy that can fail.
        bad_broker_link: the same on the way to the broker.
        appendonly: the store keeps every write on disk.
        is_hot: all events are of few users.
        commit_interval: the setting.
        own_groups: each worker has a consumer group to itself, so that a successor begins at once instead of
            when the group has given up the one before. Where reading goes on is the store's word in any case.
        session_ms: after what silence the group gives a worker up; half of it is how long a join takes on the
            embedded broker.
        on_apache: the broker is Apache Kafka, which keeps its data on disk.
        small_disk: that disk is so small that it can be filled.
        false_clock: workers have a clock that the campaign sets.
    """

    bad_store_link: bool = False
    bad_broker_link: bool = False
    appendonly: bool = False
    is_hot: bool = False
    commit_interval: str = "30ms"
    own_groups: bool = False
    session_ms: int = 2_000
    on_apache: bool = False
    small_disk: bool = False
    false_clock: bool = False

    def lacks(self) -> str:
        """Name what this machine does not have for it, nothing where it has all."""
        programs = missing_programs() if self.on_apache else []
        if self.small_disk and (os.geteuid() != 0 or shutil.which("mount") is None):
            programs.append("root, to mount a small disk")
        if self.false_clock and shutil.which(COMPILER) is None:
            programs.append("a C compiler (cc)")
        return " and ".join(programs)


def false_clock(folder: Path) -> dict[str, str]:
    """Give the environment of a process whose time of the day is set by a file; durations stay true."""
    library = folder / "false_clock.so"
    command = (COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK_SOURCE), "-ldl")
    subprocess.run(command, check=True)
    (folder / CLOCK).write_bytes(bytes(8))
    return {"LD_PRELOAD": str(library), "FALSE_CLOCK": str(folder / CLOCK)}


def set_clock(folder: Path, ahead_s: int) -> None:
    """Let the false clock be so far ahead, or behind where negative, from now on."""
    with (folder / CLOCK).open("r+b") as file:  # In place: it is mapped.
        file.write(struct.pack("=q", ahead_s))
