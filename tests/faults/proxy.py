"""This file is a bad network between a worker and a server: a small TCP proxy that can fail in chosen ways."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Literal

Mode = Literal["pass", "slow", "lose_requests", "lose_answers"]
Moment = Literal["before", "after"]

EXEC = b"*1\r\n$4\r\nEXEC\r\n"
ROWS = b":rows\r\n"
"""Where a transaction names them, it is a chunk of users, not the final write of a commit."""
SLOW_S = (0.0, 3.0)
"""How long each piece of a slow link takes; often longer than the worker waits for an answer."""
READ_BYTES = 1 << 16
PRODUCE = b"\0\0"
"""Kafka's number for requests that bring messages; it stands behind the four bytes of a request's length."""


class _Strike:
    """What is to happen at the k-th write from now."""

    def __init__(
        self, count: int, moment: Moment, act: Callable[[], None], has_happened: Callable[[], bool]
    ) -> None:
        self.count = count
        self.moment = moment
        self.act = act
        self.has_happened = has_happened
        self.is_done = threading.Event()


class _Wire:
    """One connection of a client, and ours to the server for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.is_mute = False
        self.unfinished = b""
        """What was said behind the last EXEC."""
        self.is_dead = False
        """Whether it was in a black hole: whatever it says from then on is lost."""

    def cut(self) -> None:
        """Reset both ends."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                end.close()


class Proxy:
    """
    Pass bytes on, or not.

    Args:
        writes_in: tells how many writes end in a piece that a client has sent.
        target_port: of the server; may be set later, before the first client comes.
    """

    def __init__(self, seed: int, writes_in: Callable[["_Wire", bytes], int], target_port: int = 0) -> None:
        self.target_port = target_port
        self._writes_in = writes_in
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wires: list[_Wire] = []
        self._lock = threading.Lock()
        self._strike: _Strike | None = None
        self.mode: Mode = "pass"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Give the port that clients connect to."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Give the address of a store behind it, with a short patience."""
        return f"redis://127.0.0.1:{self.port}/0?socket_timeout=1"

    def at_write(
        self, count: int, moment: Moment, act: Callable[[], None], has_happened: Callable[[], bool]
    ) -> threading.Event:
        """
        Act at the count-th write from now, before it reaches the server or behind it; no answer comes.

        Args:
            has_happened: tells, behind the write, whether the server has carried it out.
        """
        strike = _Strike(count, moment, act, has_happened)
        with self._lock:
            self._strike = strike
        return strike.is_done

    def reset_all(self) -> None:
        """Reset every connection."""
        for wire in self._wires:
            wire.cut()

    def close(self) -> None:
        """Stop listening and cut what is left."""
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = _Wire(client, server)
            self._wires = [one for one in self._wires if one.client.fileno() >= 0] + [wire]
            threading.Thread(target=self._requests, args=(wire,), daemon=True).start()
            threading.Thread(target=self._answers, args=(wire,), daemon=True).start()

    def _requests(self, wire: _Wire) -> None:
        while piece := _read(wire.client):
            strike = self._struck(self._writes_in(wire, piece))
            if strike is not None and strike.moment == "before":
                break
            if strike is not None:
                wire.is_mute = True
            if self._is_passed(wire, "lose_requests") and not _write(wire.server, piece):
                break
            if strike is not None:
                break
        else:
            strike = None
        if strike is not None:
            give_up_s = time.monotonic() + 0.5
            while strike.moment == "after" and not strike.has_happened() and time.monotonic() < give_up_s:
                time.sleep(0.001)
            strike.act()
            strike.is_done.set()
        wire.cut()

    def _answers(self, wire: _Wire) -> None:
        while piece := _read(wire.server):
            if not wire.is_mute and self._is_passed(wire, "lose_answers") and not _write(wire.client, piece):
                break
        if not wire.is_mute:
            wire.cut()

    def _struck(self, seen: int) -> _Strike | None:
        with self._lock:
            if self._strike is None or not seen:
                return None
            self._strike.count -= seen
            if self._strike.count > 0:
                return None
            strike, self._strike = self._strike, None
            return strike

    def _is_passed(self, wire: _Wire, loss: Mode) -> bool:
        mode = self.mode
        if mode == "slow":
            time.sleep(self._random.uniform(*SLOW_S))
        wire.is_dead |= mode in ("lose_requests", "lose_answers")
        return not (wire.is_dead and mode in (loss, "pass"))


def chunks_in(wire: _Wire, piece: bytes) -> int:
    """Count the chunks of users that end in this piece of what a store is told."""
    *transactions, wire.unfinished = (wire.unfinished + piece).split(EXEC)
    return sum(ROWS in one for one in transactions)


def produces_in(wire: _Wire, piece: bytes) -> int:
    """Count the requests that bring messages to a broker, of those this piece begins with: each is sent by itself."""
    return int(piece[4:6] == PRODUCE)


def _read(end: socket.socket) -> bytes:
    try:
        return end.recv(READ_BYTES)
    except OSError:
        return b""


def _write(end: socket.socket, piece: bytes) -> bool:
    try:
        end.sendall(piece)
    except OSError:
        return False
    return True
