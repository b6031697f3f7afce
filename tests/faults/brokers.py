"""The broker of a world, and the way to it. This file starts embedded or Apache Kafka, behind a proxy or not."""

import contextlib
import os
import subprocess
from pathlib import Path

from flows.dev.embedded import KafkaServer, start_kafka
from tests.faults.proxy import Proxy, produces_in
from tests.faults.scene import Scene
from tests.kafka.broker import ApacheKafka
from tests.kafka.jars import jars

DISK = "48m"
"""Room for what a new broker writes, and for a world's messages."""
BALLAST = "ballast"
IMPATIENT = {"socket.timeout.ms": "3000", "reconnect.backoff.max.ms": "1000"}
"""Of workers behind a proxy: so that what a black hole swallowed is asked again soon."""


class Broker:
    """
    A broker for one world.

    Attributes:
        server: what the sender and the audit talk to, directly.
        proxy: what stands between it and the workers, if anything does.
    """

    def __init__(self, scene: Scene, folder: Path, seed: int) -> None:
        self.proxy = Proxy(seed, produces_in) if scene.bad_broker_link else None
        self._disk = folder / "disk" if scene.small_disk else None
        self.server: KafkaServer | ApacheKafka
        if not scene.on_apache:
            assert self.proxy is None, "only Apache Kafka can tell workers another address than us"
            self.server = start_kafka()
            return
        home = folder / "kafka"
        home.mkdir()
        if self._disk is not None:
            self._disk.mkdir()
            subprocess.run(
                ("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self._disk)), check=True
            )
        try:
            self.server = ApacheKafka(
                jars(), home, data=self._disk, shown_port=self.proxy.port if self.proxy else None
            )
        except BaseException:
            self._unmount()
            raise
        if self.proxy is not None:
            assert self.server.shown_for_port is not None
            self.proxy.target_port = self.server.shown_for_port

    @property
    def worker_settings(self) -> dict[str, str]:
        """Give the Kafka settings a worker needs."""
        if self.proxy is not None:
            return {"bootstrap.servers": f"127.0.0.1:{self.proxy.port}", **IMPATIENT}
        return dict(self.server.client_settings)

    def fill_disk(self) -> None:
        """Leave not a byte free."""
        assert self._disk is not None
        with (self._disk / BALLAST).open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(os.statvfs(self._disk).f_bsize))

    def free_disk(self) -> None:
        """Give back what was filled."""
        assert self._disk is not None
        (self._disk / BALLAST).unlink()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.proxy is not None:
            self.proxy.close()
        self.server.close()
        self._unmount()

    def _unmount(self) -> None:
        if self._disk is not None:
            subprocess.run(("umount", "-l", str(self._disk)), check=False)
