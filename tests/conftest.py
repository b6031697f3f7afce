"""Real servers and fresh names for tests. This file starts a server once a pytest process, on demand."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from flows.dev.embedded import KafkaServer, ValkeyServer, create_topics, start_kafka, start_valkey
from sinks.outbox import Kind
from tests.certificates import IS_REQUIRED, OPENSSL, REDIS, missing_programs

# Their helpers say what was different, too.
pytest.register_assert_rewrite("tests.integration", "tests.faults")

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"
PARTITIONS = 4
STORE_PROGRAM = os.environ.get("TIERWISE_TEST_STORE")
"""The server to test on in place of the embedded Valkey, such as redis-server."""


def pytest_report_header() -> str:
    """Name the store that the tests run on."""
    if STORE_PROGRAM is None:
        return "store: embedded Valkey"
    version = subprocess.run((STORE_PROGRAM, "--version"), capture_output=True, text=True, check=True)
    return f"store: {version.stdout.strip()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once why the tests of TLS were skipped."""
    if (reason := missing_programs(OPENSSL, REDIS)) and not IS_REQUIRED:
        terminalreporter.write_line(f"tests of TLS skipped: {reason}")


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> None:
    """Let no settings of somebody else's tierwise, and no switch of ours, reach the commands under test."""
    for name in list(os.environ):
        if name.startswith("TIERWISE_") and name != "TIERWISE_KERNEL_CACHE":
            del os.environ[name]


@dataclass(frozen=True)
class Topics:
    """The topic names of one test and its consumer group; all topics have equally many partitions."""

    clickstream: str
    orders: str
    changes: str
    dead_letters: str
    group: str
    partitions: int

    @property
    def input(self) -> tuple[str, str]:
        """Name the input topics in the order of settings."""
        return self.clickstream, self.orders

    @property
    def outputs(self) -> dict[Kind, str]:
        """Name the output topics by what they take."""
        return {"change": self.changes, "dead_letter": self.dead_letters}


def start_store(port: int | None = None, folder: Path | None = None) -> ValkeyServer:
    """Start the store that the tests run on: see start_valkey."""
    return start_valkey(port, folder, program=STORE_PROGRAM)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """Run one store for all tests of this process."""
    with start_store() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """Run one Kafka-compatible broker for all tests of this process."""
    with start_kafka() as server:
        yield server


@pytest.fixture
def store(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """Connect to the store of the tests; replies are bytes."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    """Give the test a key prefix nobody has used."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topics(kafka: KafkaServer, prefix: str) -> Topics:
    """Create input and output topics nobody has used."""
    return make_topics(kafka, prefix, PARTITIONS)


def make_topics(kafka: KafkaServer, prefix: str, partitions: int) -> Topics:
    """Create the topics of one test with the given number of partitions."""
    names = Topics(
        clickstream=f"{prefix}.clickstream",
        orders=f"{prefix}.orders",
        changes=f"{prefix}.changes",
        dead_letters=f"{prefix}.dead-letters",
        group=f"{prefix}.group",
        partitions=partitions,
    )
    create_topics(kafka.bootstrap, [*names.input, names.changes, names.dead_letters], partitions)
    return names


@pytest.fixture(scope="session")
def retail_file() -> Path:
    """Give the two years of a real shop's orders, which live beside the repository."""
    path = DATA / "online_retail_ii.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no real orders at {path}")
    return path
