"""How often and how long a plain client of Redis tries."""

import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from sinks.redis_client import open_client


class Refuser:
    """Counts who connects, and hangs up on each; or keeps them all waiting."""

    def __init__(self, *, hangs_up: bool) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._hangs_up = hangs_up
        self._waiting: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop accepting, and let go of everybody."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for peer in (self._listener, *self._waiting):
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                peer = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            if self._hangs_up:
                peer.close()
            else:
                self._waiting.append(peer)


@pytest.fixture(params=[True, False], ids=["hangs up", "is silent"])
def refuser(request: pytest.FixtureRequest) -> Iterator[Refuser]:
    """Stand where Redis should be."""
    refuser = Refuser(hangs_up=request.param)
    yield refuser
    refuser.close()


@pytest.mark.parametrize("retries", [0, 3])
def test_client__tries_as_often_as_it_was_told(refuser: Refuser, retries: int) -> None:
    """A server that hangs up or stays silent is asked once and so many times more, then the command fails."""
    with (
        open_client(refuser.url, 0.05, retries=retries) as client,
        pytest.raises((redis.ConnectionError, redis.TimeoutError)),
    ):
        client.get("x")
    assert refuser.connections == 1 + retries


def test_client__has_retries_and_timeouts_of_ours() -> None:
    """Whoever says nothing still gets few attempts and short waits, and never redis-py's own."""
    with open_client("redis://localhost:1/0") as client:
        settings = client.get_connection_kwargs()
    assert settings["retry"].get_retries() == 3
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (5.0, 5.0)
