"""The way to an endpoint. This file looks a name up once, checks every address, and connects to these alone."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from io import BufferedReader, RawIOBase
from ipaddress import ip_address
from typing import Any

from config.addresses import IPAddress, Network, is_allowed
from config.web_address import WebAddress

Resolve = Callable[[str, int], Sequence[str]]


class AddressRefused(Exception):
    """Say which address a name leads to that a webhook must not reach."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def checked_addresses(url: WebAddress, allowed: Sequence[Network], ask: Resolve = resolve) -> list[IPAddress]:
    """
    Answer the addresses of a url, from one look-up.

    A name of which one address is not allowed is refused as a whole: nobody's own servers have such a name.
    """
    literal = url.literal
    addresses = [ip_address(text) for text in ask(url.host, url.port)] if literal is None else [literal]
    for address in addresses:
        if not is_allowed(address, allowed):
            raise AddressRefused(f"leads to {address}, which is not an address of the internet")
    return addresses


def connect(url: WebAddress, addresses: Sequence[IPAddress], give_up_s: float) -> socket.socket:
    """Connect to the first of these addresses that answers, without asking for the name again."""
    for address in addresses[:-1]:
        try:
            return _connect(address, url.port, give_up_s)
        except OSError:
            continue
    return _connect(addresses[-1], url.port, give_up_s)


def secure(plain: socket.socket, url: WebAddress, context: ssl.SSLContext, give_up_s: float) -> ssl.SSLSocket:
    """Speak TLS with the host that the url names, whatever the address was."""
    plain.settimeout(left_s(give_up_s))
    return context.wrap_socket(plain, server_hostname=url.host)


def left_s(give_up_s: float) -> float:
    """Answer the seconds that are left; TimeoutError when there are none."""
    left = give_up_s - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class BoundedSocket:
    """
    What http.client needs of a socket, with one limit of time for all of it.

    A socket's own timeout begins anew with every byte, so that an answer in drops would never end.
    """

    def __init__(self, wrapped: socket.socket, give_up_s: float) -> None:
        self._wrapped = wrapped
        self._give_up_s = give_up_s

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._wrapped.settimeout(left_s(self._give_up_s))
        self._wrapped.sendall(data)

    def makefile(self, mode: str = "rb", *_: Any) -> BufferedReader:
        """Open it for reading."""
        assert mode == "rb", mode
        return BufferedReader(_Reading(self._wrapped, self._give_up_s))

    def close(self) -> None:
        """Close it."""
        self._wrapped.close()


class _Reading(RawIOBase):
    def __init__(self, wrapped: socket.socket, give_up_s: float) -> None:
        self._wrapped = wrapped
        self._give_up_s = give_up_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wrapped.settimeout(left_s(self._give_up_s))
        return self._wrapped.recv_into(buffer)


def _connect(address: IPAddress, port: int, give_up_s: float) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(left_s(give_up_s))
        opened.connect((str(address), port))
    except BaseException:
        opened.close()
        raise
    return opened
