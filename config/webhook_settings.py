"""This file holds the settings of webhooks: which endpoints there are, what each wants, and how they are tried."""

import base64
import binascii
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from config.addresses import Network, is_allowed
from config.draft import Draft
from config.durations import UNIT_MS, format_duration, parse_duration
from config.problems import PathPart
from config.web_address import WebAddress, parse_url

SECRET_PREFIX = "whsec_"
SECRET_SIZE_MIN, SECRET_SIZE_MAX = 24, 64
RETRY_PLAN = ("0s", "5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d")
"""The example of the Standard Webhooks specification: ten attempts within about 76 hours."""

_SECRET_SHOWN = "***"
_ENDPOINTS = ("webhooks", "endpoints")
_NOWHERE = WebAddress("https", "invalid", 443, "/")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Say where changes go, and which.

    Attributes:
        secrets: keys of the signatures, decoded; several while one is replaced by another.
        ladders, directions, causes: only such changes; all where there are none.
        rate: requests a second, at most.
        concurrency: requests on their way at any time, at most; one for each user.
        starts_at_end: a new endpoint begins with what comes from now on, not with all that the topic holds.
        allow_private: networks of one's own that it may be in.
    """

    name: str
    url: WebAddress = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    ladders: frozenset[str]
    directions: frozenset[str]
    causes: frozenset[str]
    rate: int
    concurrency: int
    timeout_ms: int
    starts_at_end: bool
    allow_http: bool
    allow_private: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """
    Hold what `tierwise webhooks` is to do.

    Attributes:
        parked: the topic of changes that were given up.
        retry_plan_ms: how long to wait before each attempt, the first one included.
        pending_max: changes of one endpoint that may wait in memory.
    """

    endpoints: tuple[Endpoint, ...]
    parked: str
    retry_plan_ms: tuple[int, ...]
    pending_max: int

    def redacted(self) -> dict[str, Any]:
        """Answer the settings as their file would say them; secrets, and paths that may hold some, are hidden."""
        return {
            "endpoints": {one.name: _redacted(one) for one in self.endpoints},
            "parked": self.parked,
            "retry_plan": [format_duration(delay_ms) for delay_ms in self.retry_plan_ms],
            "pending_max": self.pending_max,
        }


def read_webhooks(draft: Draft, prefix: str, taken: tuple[str, ...]) -> WebhookSettings:
    """
    Answer the settings of webhooks.

    Args:
        taken: topics that cannot be the one of parked changes.
    """
    parked = draft.value("webhooks", "parked", default=f"{prefix}.webhooks-parked")
    if parked in taken:
        draft.report(("webhooks", "parked"), f"must be a topic of its own, got {parked!r}")
    return WebhookSettings(
        endpoints=tuple(_read_endpoint(draft, name) for name in draft.keys(*_ENDPOINTS)),
        parked=parked,
        retry_plan_ms=_read_plan(draft),
        pending_max=int(draft.value("webhooks", "pending_max", default=1_000)),
    )


def decode_secret(text: str) -> bytes:
    """Answer the bytes of a `whsec_` secret; ValueError with the rule that does not hold, never with the secret."""
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"must begin with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"must be base64 behind {SECRET_PREFIX}") from None
    if not SECRET_SIZE_MIN <= len(key) <= SECRET_SIZE_MAX:
        raise ValueError(f"must hold {SECRET_SIZE_MIN} to {SECRET_SIZE_MAX} bytes, got {len(key)}")
    return key


def _read_endpoint(draft: Draft, name: str) -> Endpoint:
    at = (*_ENDPOINTS, name)
    allow_http = draft.value(*at, "allow_http", default="off") == "on"
    allow_private = _read_networks(draft, (*at, "allow_private"))
    return Endpoint(
        name=name,
        url=_read_url(draft, (*at, "url"), allow_http, allow_private),
        secrets=_read_secrets(draft, (*at, "secrets")),
        ladders=frozenset(draft.value(*at, "ladders", default=())),
        directions=frozenset(draft.value(*at, "directions", default=())),
        causes=frozenset(draft.value(*at, "causes", default=())),
        rate=int(draft.value(*at, "rate", default=50)),
        concurrency=int(draft.value(*at, "concurrency", default=4)),
        timeout_ms=_read_timeout(draft, (*at, "timeout")),
        starts_at_end=draft.value(*at, "start", default="latest") == "latest",
        allow_http=allow_http,
        allow_private=allow_private,
    )


def _read_url(
    draft: Draft, at: tuple[PathPart, ...], allow_http: bool, allow_private: tuple[Network, ...]
) -> WebAddress:
    text = draft.value(*at)
    if text is None:
        return _NOWHERE
    try:
        url = parse_url(text)
    except ValueError as error:
        draft.report(at, str(error))
        return _NOWHERE
    if url.scheme == "http" and not allow_http:
        draft.report(at, "must begin with https://, or say allow_http: on")
    if url.literal is not None and not is_allowed(url.literal, allow_private):
        rule = f"leads to {url.literal}, which is not an address of the internet"
        draft.report(at, f"{rule}; say allow_private where it is your own")
    return url


def _read_secrets(draft: Draft, at: tuple[PathPart, ...]) -> tuple[bytes, ...]:
    keys = []
    for index, text in enumerate(draft.value(*at, default=())):
        try:
            keys.append(decode_secret(text))
        except ValueError as error:
            draft.report((*at, index), str(error))
    return tuple(keys)


def _read_networks(draft: Draft, at: tuple[PathPart, ...]) -> tuple[Network, ...]:
    networks = []
    for index, text in enumerate(draft.value(*at, default=())):
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            draft.report((*at, index), f"must be a network such as 10.0.0.0/8: {error}")
    return tuple(networks)


def _read_timeout(draft: Draft, at: tuple[PathPart, ...]) -> int:
    timeout_ms = draft.duration_ms(*at, default=15 * UNIT_MS["s"])
    if timeout_ms <= 0:
        draft.report(at, f"must be above 0, got {draft.value(*at)!r}")
    return timeout_ms


def _read_plan(draft: Draft) -> tuple[int, ...]:
    at = ("webhooks", "retry_plan")
    if (given := draft.value(*at)) is None:
        return tuple(parse_duration(delay) for delay in RETRY_PLAN)
    return tuple(draft.duration_ms(*at, index) for index in range(len(given)))


def _redacted(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url.redacted(),
        "secrets": [_SECRET_SHOWN for _ in endpoint.secrets],
        "ladders": sorted(endpoint.ladders),
        "directions": sorted(endpoint.directions),
        "causes": sorted(endpoint.causes),
        "rate": endpoint.rate,
        "concurrency": endpoint.concurrency,
        "timeout": format_duration(endpoint.timeout_ms),
        "start": "latest" if endpoint.starts_at_end else "earliest",
        "allow_http": "on" if endpoint.allow_http else "off",
        "allow_private": [str(network) for network in endpoint.allow_private],
    }
