"""Apache Kafka's jars. This file has Maven fetch them, once for each state of the pom."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY

POM = Path(__file__).with_name("pom.xml")
CACHE = REPOSITORY / "build"
FETCH_DEADLINE_S = 300.0
NEEDED = ("java", "mvn")


class JarsUnfetched(RuntimeError):
    """Maven did not deliver; the message holds what it said."""


def missing_programs() -> list[str]:
    """Name what this machine lacks to run Apache Kafka."""
    return [program for program in NEEDED if shutil.which(program) is None]


def jars() -> Path:
    """Answer the folder of all jars, fetched if it is not there yet."""
    content = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"kafka-{content}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Of several test processes one fetches.
        if not folder.exists():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        *("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(POM)),
        *("dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_DEADLINE_S
    )
    if done.returncode != 0:
        raise JarsUnfetched(f"mvn ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    partial.rename(folder)
