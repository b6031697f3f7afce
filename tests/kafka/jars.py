"""The jars of Apache Kafka and of Apicurio Registry. This file has Maven fetch them, once for each state of a pom."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY

POM = Path(__file__).with_name("pom.xml")
REGISTRY_POM = Path(__file__).with_name("registry_pom.xml")
CACHE = REPOSITORY / "build"
FETCH_DEADLINE_S = 300.0
NEEDED = ("java", "mvn")


class JarsUnfetched(RuntimeError):
    """Maven did not deliver; the message holds what it said."""


def missing_programs() -> list[str]:
    """Name what this machine lacks to run Apache Kafka."""
    return [program for program in NEEDED if shutil.which(program) is None]


def jars() -> Path:
    """Answer the folder of all jars of Apache Kafka, fetched if it is not there yet."""
    return _fetched("kafka", POM, "dependency:copy-dependencies", "-DincludeScope=runtime")


def registry_program() -> Path:
    """Answer the jar that runs Apicurio Registry, fetched with what it needs if it is not there yet."""
    (program,) = _fetched("registry", REGISTRY_POM, "dependency:unpack").glob("*-runner.jar")
    return program


def _fetched(name: str, pom: Path, *goal: str) -> Path:
    content = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{name}-{content}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Of several test processes one fetches.
        if not folder.exists():
            _fetch(folder, pom, goal)
    return folder


def _fetch(folder: Path, pom: Path, goal: tuple[str, ...]) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        *("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom)),
        *(*goal, f"-DoutputDirectory={partial}"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_DEADLINE_S
    )
    if done.returncode != 0:
        raise JarsUnfetched(f"mvn ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    partial.rename(folder)
