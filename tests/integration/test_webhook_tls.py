"""Tests of webhooks over TLS: to the address that was looked at, under the name that the url says."""

import ssl
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from config.web_address import parse_url
from config.webhook_settings import Endpoint, decode_secret
from flows.webhooks.request import Poster
from tests.certificates import Authority
from tests.integration.webhook_site import SECRET, Receiver


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Make an authority, and let this process trust it, as an operator does."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    """Run an endpoint with a certificate for `localhost`; it keeps the name that it was asked for."""
    certificate = authority.sign("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with Receiver() as made:
        made.secure(context)
        yield made


def endpoint(url: str) -> Endpoint:
    """Make an endpoint on this machine."""
    return Endpoint(
        name="one",
        url=parse_url(url),
        secrets=(decode_secret(SECRET),),
        ladders=frozenset(),
        directions=frozenset(),
        causes=frozenset(),
        rate=50,
        concurrency=1,
        timeout_ms=5_000,
        starts_at_end=False,
        allow_http=False,
        allow_private=(ip_network("127.0.0.0/8"),),
    )


def test_tls__speaks_with_the_host_of_the_url_at_the_address_that_was_checked(receiver: Receiver) -> None:
    """Whatever the address: name of the handshake, certificate and `Host` are the url's."""
    asked: list[str] = []

    def ask(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    target = endpoint(f"https://localhost:{receiver.port}/hook?a=b")
    assert Poster(target, "test", ask).post("u1:1", b"{}").status == 200
    (call,) = receiver.calls
    assert (call.path, call.headers["host"]) == ("/hook?a=b", f"localhost:{receiver.port}")
    assert (asked, receiver.server_names) == (["localhost"], ["localhost"])


def test_tls__refuses_a_certificate_for_another_name(receiver: Receiver) -> None:
    """Whoever answers at the address of a name must have its certificate; nothing is sent to another."""
    target = endpoint(f"https://hooks.example.com:{receiver.port}/")
    answer = Poster(target, "test", lambda *_: ["127.0.0.1"]).post("u1:1", b"{}")
    assert answer.failure == "tls"
    assert "hooks.example.com" in answer.detail
    assert receiver.calls == []
