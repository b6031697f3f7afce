"""Apache Kafka on this machine: one node, broker and controller in one JVM. This file runs it."""

import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from flows.dev.child import Child

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
CLUSTER = "tierwiseTestsCluster0w"
JVM = (
    # Short-lived: little heap, and no time spent on optimising.
    *("-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
)
PORTS = range(15_000, 30_000)
"""
Below those that the system gives to outgoing connections: while the broker is down, one of them could
otherwise take its port, even a client that tries to reach it and meets itself.
"""
QUICK = {
    # A group is there at once, and a lost member is noticed soon.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After a kill -9 the next start waits until the controller has given up the broker it knew.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
}
SMALL = {
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "auto.create.topics.enable": "false",
    # Events of the tests are older or newer than the machine's clock; what a test wants gone it deletes.
    "log.retention.ms": "-1",
}


class ApacheKafka:
    """
    A broker that keeps its data and its address over stop, kill and start; it dies with this process.

    It can stand wherever tests take the embedded broker: they ask for `bootstrap` and `client_settings`.

    Args:
        jars: the folder of its class path.
        folder: for its settings and its data; empty.
        changed: broker settings that replace ours.
        listener: one more, such as SASL_SSL://127.0.0.1:19093.
        users: those of SCRAM, as StorageTool takes them: SCRAM-SHA-512=[name=a,password=b].
        data: a folder for its data alone.
        shown_port: of a proxy. Clients that come to `shown_for_port` are told to go there from then on.
    """

    def __init__(
        self,
        jars: Path,
        folder: Path,
        changed: Mapping[str, str] | None = None,
        data: Path | None = None,
        shown_port: int | None = None,
        listener: str = "",
        users: Sequence[str] = (),
    ) -> None:
        self._java = ("java", *JVM, "-cp", f"{jars}/*")
        self.port, controller_port, detour_port = free_ports(3)
        self.shown_for_port = detour_port if shown_port else None
        self._settings_file = folder / "server.properties"
        settings = {
            **_settings(self.port, controller_port, data or folder / "data", listener),
            **QUICK,
            **SMALL,
            **(changed or {}),
        }
        if shown_port:
            settings["listeners"] += f",DETOUR://127.0.0.1:{detour_port}"
            settings["advertised.listeners"] += f",DETOUR://127.0.0.1:{shown_port}"
            names = ("PLAINTEXT", "CONTROLLER", "DETOUR")
            settings["listener.security.protocol.map"] = ",".join(f"{name}:PLAINTEXT" for name in names)
        self._settings_file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._format(users)
        self._child: Child | None = None
        self.start()

    @property
    def bootstrap(self) -> str:
        """Give the address as the Kafka setting `bootstrap.servers` takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def client_settings(self) -> dict[str, str]:
        """Give the Kafka settings a consumer or the worker needs with this broker."""
        return {"bootstrap.servers": self.bootstrap}

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._child is not None and self._child.exit_code is None

    def start(self) -> None:
        """Start it with the data it has, and return once it answers; nothing if it runs."""
        if self.is_running:
            return
        child = self._child = Child("kafka", (*self._java, "kafka.Kafka", str(self._settings_file)))
        try:
            child.wait_until(self._answers, READY_DEADLINE_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end in order, and wait for that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does; what it has not yet told the disk the system still holds."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Kill it, for good."""
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _end(self, with_signal: int) -> None:
        if self._child is not None:
            self._child.stop(STOP_DEADLINE_S, with_signal)

    def _format(self, users: Sequence[str]) -> None:
        command = (*self._java, "kafka.tools.StorageTool", "format")
        options = [word for user in users for word in ("--add-scram", user)]
        done = subprocess.run(
            (*command, "--cluster-id", CLUSTER, "--config", str(self._settings_file), *options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=READY_DEADLINE_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage was not formatted:\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def _settings(port: int, controller_port: int, data: Path, listener: str) -> dict[str, str]:
    ours = ",".join(filter(None, (f"PLAINTEXT://127.0.0.1:{port}", listener)))
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"{ours},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": ours,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": str(data),
    }


def free_ports(count: int) -> list[int]:
    """Choose ports on which nobody listens."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            if port not in ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    return ports
