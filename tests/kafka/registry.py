"""Apicurio Registry on this machine, which answers as Confluent's Schema Registry does. This file runs it."""

import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.dev.child import Child
from tests.kafka.broker import free_ports

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
SETTINGS = {
    "quarkus.http.host": "127.0.0.1",
    "quarkus.log.level": "WARN",
    "quarkus.datasource.jdbc.initial-size": "1",
    "quarkus.datasource.jdbc.min-size": "1",
}
CLOSED = {
    "quarkus.http.auth.permission.all.paths": "/apis/*",
    "quarkus.http.auth.permission.all.policy": "authenticated",
}
"""Nobody can log in: there is no server of identities that it could ask."""


class ApicurioRegistry:
    """
    A registry that keeps its schemas and its address over stop and start; it dies with this process.

    Tests can put it in the place of `tests.schema_registry.SchemaRegistry`.

    Args:
        program: the jar that runs it.
        folder: for its data; empty.
    """

    login = ""

    def __init__(self, program: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._program = program
        self._settings = {
            **SETTINGS,
            "quarkus.http.port": str(self.port),
            "quarkus.datasource.jdbc.url": f"jdbc:h2:file:{folder}/schemas",
        }
        self._child: Child | None = None
        self._is_closed = False
        self.start()

    @property
    def url(self) -> str:
        """Say where its API of Confluent's kind is, up or not."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self, is_closed: bool = False) -> None:
        """
        Have it answer, with all that was registered before; nothing if it does.

        Args:
            is_closed: it lets nobody in.
        """
        if self._child is not None and self._child.exit_code is None and self._is_closed == is_closed:
            return
        self.stop()
        settings = {**self._settings, **(CLOSED if is_closed else {})}
        options = [f"-D{name}={text}" for name, text in settings.items()]
        child = self._child = Child("registry", ("java", *JVM, *options, "-jar", str(self._program)))
        self._is_closed = is_closed
        try:
            child.wait_until(self._is_ready, READY_DEADLINE_S)
        except BaseException:
            child.stop(0)
            raise

    def stop(self) -> None:
        """Be away: connections are refused."""
        if self._child is not None:
            self._child.stop(STOP_DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
