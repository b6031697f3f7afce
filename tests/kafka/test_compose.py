"""This file starts Apache Kafka with the settings that config/compose.yaml gives it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from tests.kafka.broker import ApacheKafka, free_ports
from tests.kafka.jars import jars
from tests.unit.deployment import compose

SETTINGS: dict[str, str] = compose()["services"]["kafka"]["environment"]
PORTS = ("9092", "19092", "29093")
NO_SETTINGS = ("KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS")


class ComposeKafka(ApacheKafka):
    """The broker of the compose file, its hosts and ports moved to free ones of this machine."""

    def __init__(self, folder: Path) -> None:
        moved = dict(zip(PORTS, map(str, free_ports(len(PORTS)))))
        changed = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): on_this_machine(str(value), moved)
            for name, value in SETTINGS.items()
            if name.startswith("KAFKA_") and name not in NO_SETTINGS
        }
        self.shown = changed
        self.outside, self.inside = moved["9092"], moved["19092"]
        super().__init__(jars(), folder, changed)

    @property
    def bootstrap(self) -> str:
        """Give the listener that services of the compose file use."""
        return f"127.0.0.1:{self.inside}"


def on_this_machine(value: str, ports: dict[str, str]) -> str:
    """Replace hosts and ports of an address."""
    value = re.sub(r"(?<=[@/])(kafka|localhost)(?=:)", "127.0.0.1", value)
    return re.sub(r"(?<=:)\d+\b", lambda port: ports.get(port[0], port[0]), value)


@pytest.fixture
def kafka(apache: ApacheKafka, tmp_path: Path) -> Iterator[ComposeKafka]:
    """Start the broker; `apache` says what is missing where that cannot be."""
    with ComposeKafka(tmp_path) as broker:
        yield broker


def test_compose__starts_a_broker_that_is_reached_from_inside_and_outside(kafka: ComposeKafka) -> None:
    """Both listeners answer with their own address, and each setting of the file is one that the broker knows."""
    for port in (kafka.inside, kafka.outside):
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
        (broker,) = admin.list_topics(timeout=10).brokers.values()
        assert str(broker.port) == port
    asked = ConfigResource(ConfigResource.Type.BROKER, "1")
    known = admin.describe_configs([asked])[asked].result(10)
    for name, value in kafka.shown.items():
        assert known[name].value == value
