"""Debian's Redis behind TLS, for tests. This file runs it."""

import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from flows.dev.child import Child, free_port
from tests.certificates import REDIS, Authority, need_programs

READY_DEADLINE_S = 20.0
PASSWORD = "secret-of-the-tests"
OTHER_ADDRESS = "127.0.0.2"
"""The server answers there too, but its certificate does not say so."""


class TlsStore:
    """
    A server that speaks TLS alone, to clients with a certificate of its authority and the password.

    It can stand wherever tests take the embedded store: they ask for `url`.
    """

    def __init__(self, folder: Path) -> None:
        need_programs(REDIS)
        self.authority = Authority(folder)
        server, self._client = self.authority.sign("server"), self.authority.sign("client")
        self.port = free_port()
        options = {
            "port": "0",
            "tls-port": str(self.port),
            "tls-cert-file": str(server.file),
            "tls-key-file": str(server.key),
            "tls-ca-cert-file": str(self.authority.file),
            "tls-auth-clients": "yes",
            "requirepass": PASSWORD,
            "save": "",
            "dir": str(folder),
        }
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        self._child = Child("redis", ["redis-server", "--bind", "127.0.0.1", OTHER_ADDRESS, *words])
        self._child.wait_until(self._answers, READY_DEADLINE_S)

    @property
    def url(self) -> str:
        """Give the address with all that a client needs."""
        return self.url_with()

    def url_with(
        self, *, trusts: Authority | None = None, with_own: bool = True, host: str = "127.0.0.1"
    ) -> str:
        """Give the address for a client that trusts another authority, or has no certificate of its own."""
        files = {"ssl_ca_certs": (trusts or self.authority).file}
        if with_own:
            files |= {"ssl_certfile": self._client.file, "ssl_keyfile": self._client.key}
        query = "&".join(f"{name}={file}" for name, file in files.items())
        return f"rediss://:{PASSWORD}@{host}:{self.port}/0?{query}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop(with_signal=signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2, retry=None) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
