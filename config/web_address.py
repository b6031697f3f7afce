"""This file holds what the url of a webhook may say: no spelling that two programs could read in two ways."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from config.addresses import IPAddress

PORTS = {"https": 443, "http": 80}

_PLAIN = re.compile(r"[\x21-\x7e]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HOST_SIZE_MAX = 253


@dataclass(frozen=True, slots=True)
class WebAddress:
    """
    Hold a url, taken apart.

    Attributes:
        host: a name in lower case, or an address, without brackets.
        target: path and query, as the request line wants them.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def literal(self) -> IPAddress | None:
        """Answer the address when the host is one, None when it is a name."""
        try:
            return IPv6Address(self.host) if ":" in self.host else IPv4Address(self.host)
        except AddressValueError:
            return None

    @property
    def host_header(self) -> str:
        """Say the host as the header of that name wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def redacted(self) -> str:
        """Say where it leads, without path and query, which may hold a secret."""
        return f"{self.scheme}://{self.host_header}{self.target if self.target == '/' else '/***'}"


def parse_url(text: str) -> WebAddress:
    """Take a url apart; ValueError with the rule that does not hold, worded for the operator."""
    if not _PLAIN.fullmatch(text) or "\\" in text:
        raise ValueError(
            "must be printable ASCII without blanks or backslashes; a name with other letters is xn--..."
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"must be a url: {error}") from None
    if parts.scheme not in PORTS:
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a login: a webhook is known by its signature")
    if "#" in text:
        raise ValueError("must not have a fragment, which is never sent")
    if port == 0:
        raise ValueError("must not have port 0")
    host = _checked_host(parts.netloc, parts.hostname or "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebAddress(parts.scheme, host, port or PORTS[parts.scheme], target)


def _checked_host(netloc: str, host: str) -> str:
    if netloc.startswith("["):
        try:
            if "%" not in host:
                return str(IPv6Address(host))
        except AddressValueError:
            pass
        raise ValueError("must have a whole IPv6 address, without a zone, in its brackets")
    labels = host.split(".")
    if len(host) > _HOST_SIZE_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must have a host of letters, digits, '-' and '.'")
    if _NUMERIC.fullmatch(labels[-1]):  # Then others read all of it as a number, in parts, octal or hex.
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("must spell an IPv4 address as four decimal numbers, 192.0.2.1") from None
    return host
