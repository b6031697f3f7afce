"""The servers of a match: Valkey, and a broker to choose. This file starts them."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.dev.child import free_port
from flows.dev.embedded import KafkaServer, start_kafka, start_valkey
from tests.kafka.broker import ApacheKafka
from tests.kafka.jars import jars

BROKERS = ("embedded", "apache")


class Servers:
    """A store, a broker, a port and a folder: what benchmarks/end_to_end.py asks of a stack."""

    def __init__(self, broker: str) -> None:
        self._exits = ExitStack()
        try:
            folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="tierwise-")))
            self.settings_file = folder / "tierwise.yaml"
            self.http_port = free_port()
            self.valkey = self._exits.enter_context(start_valkey())
            self.kafka: KafkaServer | ApacheKafka
            if broker == "apache":
                (folder / "kafka").mkdir()
                self.kafka = self._exits.enter_context(ApacheKafka(jars(), folder / "kafka"))
            else:
                self.kafka = self._exits.enter_context(start_kafka())
        except BaseException:
            self._exits.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
