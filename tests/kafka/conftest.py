"""What tests on Apache Kafka share. This file puts it in the place of the embedded broker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.dev.embedded import create_topics
from tests.integration.conftest import bench, load, one_topic, place, policy
from tests.integration.rekey_process import Hop
from tests.kafka.broker import ApacheKafka
from tests.kafka.jars import jars, missing_programs, registry_program
from tests.kafka.registry import ApicurioRegistry
from tests.kafka.secured import SecuredKafka

__all__ = ["bench", "load", "one_topic", "place", "policy"]

REQUIRED = "TIERWISE_REQUIRE_KAFKA"
IS_REQUIRED = bool(os.environ.get(REQUIRED))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once why all of these tests were skipped."""
    if (reason := _missing()) and not IS_REQUIRED:
        terminalreporter.write_line(f"tests/kafka skipped: {reason}")


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Run one Apache Kafka for all tests of this process."""
    _need_programs()
    with ApacheKafka(jars(), tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def secured_apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Run one Apache Kafka with a login and TLS for all tests of this process that ask for it."""
    _need_programs()
    with SecuredKafka(jars(), tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApicurioRegistry]:
    """Run one Schema Registry for all tests of this process that ask for it."""
    _need_programs()
    with ApicurioRegistry(registry_program(), tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def kafka(apache: ApacheKafka) -> ApacheKafka:
    """Give the broker, up again if the test before left it down."""
    apache.start()
    return apache


@pytest.fixture
def hop(kafka: ApacheKafka, prefix: str, tmp_path: Path) -> Hop:
    """Prepare a copy from 3 partitions to 4."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    create_topics(kafka.bootstrap, [hop.target], 4)
    return hop


def _need_programs() -> None:
    if reason := _missing():
        if IS_REQUIRED:
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)


def _missing() -> str:
    missing = missing_programs()
    return f"Apache Kafka needs {' and '.join(missing)}, not found on this machine" if missing else ""
