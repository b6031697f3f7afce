"""How the settings of webhooks are read, what is refused, and which addresses may be reached."""

import json
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from config.addresses import is_allowed
from config.web_address import parse_url
from tests.unit.settings_files import read
from tests.unit.test_settings_errors import lines_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDPOINT = f"url: 'https://hooks.example.com/t?key=hunter2', secrets: [{SECRET}]"

ODD_SPELLINGS = [
    "https://2130706433/", "https://127.1/", "https://0x7f.1/", "https://0177.0.0.1/", "https://0x7f000001/",
    "https://017700000001/", "https://127.0.1/", "https://127.0.0.1./", "https://1.2.3.4.5/", "https://0/",
    "https://127.0.0.0x1/", "https://①②⑦.0.0.1/", "https://[::1%25lo]/", "https://[::1", "https://[1.2.3.4]/",
    "https://user@hooks.example.com/", "https://hooks.example.com:443@127.0.0.1/", "https://:p@hooks.example.com/",
    "https://hooks.example.com\\@127.0.0.1/", "https://hooks.example.com/a b", "https://hooks.example.com/\r\nX: y",
    "https://hooks.example.com/\tx", "https://hooks.exa%6dple.com/", "https://hooks.example.com:0/",
    "https://hooks.example.com:99999/", "https://hooks.example.com/#x", "https:///path", "https://", "//host/",
    "ftp://hooks.example.com/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "http:127.0.0.1",
    "javascript:alert(1)", "https://-a.example.com/", "https://a..example.com/", "https://127.0.0.1:80:80/",
]  # fmt: skip
HOSTILE_ADDRESSES = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::c0a8:101", "64:ff9b:1::808:808", "2002:7f00:1::",
    "2002:7f00:1::1", "2002:a9fe:a9fe::", "2002:c0a8:101::1",
    "2001:0:7f00:1::", "2001::80ff:fffe", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fec0::1", "ff02::1", "2001:db8::1", "100::1", "5f00::1", "2606:4700::200:5efe:7f00:1", "2606:4700::5efe:a9fe:a9fe",
]  # fmt: skip
GLOBAL_ADDRESSES = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:830::200e", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD_SPELLINGS, ids=ascii)
def test_url__that_can_be_read_in_two_ways_is_refused(url: str) -> None:
    """Numbers that some programs take for addresses, logins, blanks and other schemes are no url for us."""
    with pytest.raises(ValueError, match=r"^must "):
        parse_url(url)


@pytest.mark.parametrize("text", HOSTILE_ADDRESSES)
def test_address__of_no_public_host_is_refused(text: str) -> None:
    """What is not of the internet, or leads elsewhere through an embedded address, cannot be reached."""
    assert not is_allowed(ip_address(text))


@pytest.mark.parametrize("text", GLOBAL_ADDRESSES)
def test_address__of_the_internet_is_allowed(text: str) -> None:
    """Public addresses, also spelled in IPv6 or behind NAT64, can be reached."""
    assert is_allowed(ip_address(text))


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("::ffff:127.0.0.1", "127.0.0.0/8"),
        ("64:ff9b::a00:1", "10.0.0.0/8"),
        ("fd00::1", "fd00::/8"),
    ],
)
def test_address__of_a_network_of_ones_own_is_allowed(text: str, network: str) -> None:
    """A network that was named may be reached, and none beside it."""
    assert is_allowed(ip_address(text), [ip_network(network)])
    assert not is_allowed(ip_address(text), [ip_network("192.168.0.0/16")])


def test_url__is_taken_apart() -> None:
    """Name, port, path and query are what goes into the request."""
    url = parse_url("https://Hooks.Example.com/a/b?c=d")
    assert (url.host, url.port, url.target) == ("hooks.example.com", 443, "/a/b?c=d")
    assert (url.host_header, url.literal) == ("hooks.example.com", None)
    other = parse_url("http://[2606:4700:0::1111]:8080")
    assert (other.host_header, other.target, str(other.literal)) == (
        "[2606:4700::1111]:8080",
        "/",
        "2606:4700::1111",
    )


def test_webhooks__defaults_of_an_endpoint(elsewhere: Path) -> None:
    """What is left out has the value that docs/webhooks.md tells; secrets and paths are not shown."""
    settings = read(elsewhere, f"webhooks: {{endpoints: {{coupons: {{{ENDPOINT}}}}}}}\n")
    (endpoint,) = settings.webhooks.endpoints
    assert len(endpoint.secrets[0]) == 24
    assert settings.redacted()["webhooks"]["endpoints"] == {
        "coupons": {
            "url": "https://hooks.example.com/***", "secrets": ["***"], "ladders": [], "directions": [], "causes": [],
            "rate": 50, "concurrency": 4, "timeout": "15s", "start": "latest", "allow_http": "off", "allow_private": [],
        }
    }  # fmt: skip
    shown = repr(settings) + json.dumps(settings.redacted())
    assert SECRET[6:] not in shown
    assert "hunter2" not in shown


def test_webhooks__secrets_come_from_the_environment(elsewhere: Path) -> None:
    """Secrets are separated by commas, and may come from a file; so may the url."""
    (elsewhere / "secrets").write_text(f"{SECRET},{SECRET[:-1]}x\n")
    text = "webhooks: {endpoints: {coupons: {rate: 5}}}\n"
    settings = read(
        elsewhere,
        text,
        TIERWISE_WEBHOOKS__ENDPOINTS__COUPONS__SECRETS_FILE=str(elsewhere / "secrets"),
        TIERWISE_WEBHOOKS__ENDPOINTS__COUPONS__URL="https://a.example.com",
        TIERWISE_WEBHOOKS__PENDING_MAX="7",
    )
    (endpoint,) = settings.webhooks.endpoints
    assert (len(endpoint.secrets), endpoint.url.host, endpoint.rate) == (2, "a.example.com", 5)
    assert settings.webhooks.pending_max == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("endpoints: {a: {secrets: [x]}}", "$.webhooks.endpoints.a.url: is missing: an https:// url"),
        ("endpoints: {A: {%s}}", "$.webhooks.endpoints.A: must be a name of lower-case letters"),
        ("endpoints: {a: {%s, ladder: [x]}}", "$.webhooks.endpoints.a.ladder: unknown key; did you mean 'ladders'?"),
        ("endpoints: {a: {%s, causes: [tme]}}", "$.webhooks.endpoints.a.causes[0]: must be event, time"),
        ("endpoints: {a: {%s, timeout: 0s}}", "$.webhooks.endpoints.a.timeout: must be above 0, got '0s'"),
        ("endpoints: {a: {%s, allow_private: [10.0.0.1/8]}}", "allow_private[0]: must be a network such as"),
        ("endpoints: {a: {url: 'http://h.example', secrets: [%s]}}", "must begin with https://, or say allow_http: on"),
        ("endpoints: {a: {url: 'https://127.1/hunter2', secrets: [%s]}}", "must spell an IPv4 address as four"),
        ("endpoints: {a: {url: 'https://[64:ff9b::7f00:1]/', secrets: [%s]}}", "is not an address of the internet"),
        ("endpoints: {a: {url: 'https://h.example', secrets: []}}", "a.secrets: must not be empty, got list"),
        ("endpoints: {a: {url: 'https://h.example', secrets: [hunter2]}}", "a.secrets[0]: must begin with whsec_"),
        ("endpoints: {a: {url: 'https://h.example', secrets: [whsec_hunter2]}}", "secrets[0]: must be base64 behind"),
        ("endpoints: {a: {url: 'https://h.example', secrets: [whsec_aHVudGVyMg==]}}", "must hold 24 to 64 bytes"),
        ("parked: orders", "$.webhooks.parked: must be a topic of its own, got 'orders'"),
        ("retry_plan: [5]", "$.webhooks.retry_plan[0]: must be a duration with a unit"),
        ("pending_max: 0", "$.webhooks.pending_max: must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_webhooks_error__names_the_place_and_the_rule(elsewhere: Path, text: str, problem: str) -> None:
    """Each wrong setting is one line that shows no secret."""
    text = text.replace("[%s]", f"[{SECRET}]").replace("%s", ENDPOINT)
    lines = lines_of(elsewhere, f"webhooks: {{{text}}}")
    assert any(problem in line for line in lines), lines
    assert not any("hunter2" in line or SECRET in line for line in lines)
