"""One attempt: this file sends a webhook to its endpoint, and says what came of it. It follows no redirect."""

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from config.webhook_settings import Endpoint
from flows.webhooks.network import (
    AddressRefused,
    BoundedSocket,
    Resolve,
    checked_addresses,
    connect,
    resolve,
    secure,
)
from flows.webhooks.retry_plan import retry_after_s
from flows.webhooks.signing import signed_headers

GONE = 410
FAILURES = (
    *("address", "connect", "dns", "protocol", "timeout", "tls"),
    *("http_1xx", "http_3xx", "http_4xx", "http_5xx"),
)
"""Why an attempt fails, as metrics and parked changes name it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Say what came of an attempt.

    Attributes:
        status: of the answer, 0 when there was none.
        failure: one of FAILURES, empty for a success.
        detail: for people.
        retry_after_s: how long the endpoint asks to be left alone.
    """

    status: int = 0
    failure: str = ""
    detail: str = ""
    retry_after_s: float = 0.0


class Poster:
    """Send to one endpoint; may be used by several threads."""

    def __init__(self, endpoint: Endpoint, agent: str, ask: Resolve = resolve) -> None:
        self._endpoint = endpoint
        self._agent = agent
        self._ask = ask
        self._context = ssl.create_default_context() if endpoint.url.scheme == "https" else None

    def post(self, message_id: str, body: bytes) -> Answer:
        """Make one attempt; never raises for what an endpoint, or the way to it, does."""
        headers = {
            "Host": self._endpoint.url.host_header,
            "User-Agent": self._agent,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **signed_headers(self._endpoint.secrets, message_id, int(time.time()), body),
        }
        try:
            return self._exchange(headers, body)
        except AddressRefused as refused:
            return Answer(failure="address", detail=str(refused))
        except socket.gaierror as error:
            return Answer(failure="dns", detail=str(error))
        except TimeoutError:
            return Answer(failure="timeout", detail=f"no answer within {self._endpoint.timeout_ms} ms")
        except ssl.SSLError as error:
            return Answer(failure="tls", detail=str(error))
        except http.client.HTTPException as error:
            return Answer(failure="protocol", detail=f"{type(error).__name__}: {error}"[:200])
        except OSError as error:
            return Answer(failure="connect", detail=str(error))

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> Answer:
        url = self._endpoint.url
        addresses = checked_addresses(url, self._endpoint.allow_private, self._ask)
        give_up_s = time.monotonic() + self._endpoint.timeout_ms / 1000
        opened = connect(url, addresses, give_up_s)
        try:
            if self._context is not None:
                opened = secure(opened, url, self._context, give_up_s)
            return _answer(BoundedSocket(opened, give_up_s), url.target, headers, body)
        finally:
            opened.close()


def _answer(opened: BoundedSocket, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection("unused")
    connection.sock = cast(Any, opened)
    connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    with connection.getresponse() as response:  # What it says beyond its head is of no interest.
        status = response.status
        if 200 <= status <= 299:
            return Answer(status)
        asked_s = retry_after_s(response.getheader("Retry-After"), time.time())
        failure = f"http_{status // 100}xx" if status <= 599 else "protocol"
        return Answer(status, failure, f"status {status}", asked_s)
