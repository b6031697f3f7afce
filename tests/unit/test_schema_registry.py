"""Tests of a Schema Registry that is away, refuses, or is told wrongly: what waits, what ends, what is said."""

import json
import logging
import re
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.check import in_force, problems_of
from config.settings import SettingsError, load_settings
from flows.formats.framed.patience import Patience
from flows.formats.framed.reading import open_readers
from flows.formats.framed.unreadable import RegistryRefused, RegistryUnavailable, RegistryUnusable, Unreadable
from tests.conftest import REPOSITORY
from tests.schema_registry import SchemaRegistry, avro_writer, running
from tests.unit.framed_events import EVENT, reader, settings
from tests.unit.settings_files import read, write

ENCODED = "topics: {input: [a], encodings: {a: avro}}\n"
VIEW = {"event_id": "e1", "user_id": "u1", "type": "page_view", "event_time": 1_795_248_000_250}


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    """Run a registry of one test."""
    with running() as found:
        yield found


@pytest.fixture
def message(registry: SchemaRegistry) -> bytes:
    """Write one event; its schema is registered then."""
    return avro_writer(registry, EVENT)(VIEW)


def test_schema__is_asked_for_once(registry: SchemaRegistry, message: bytes, tmp_path: Path) -> None:
    """Ids are cached, those that are unknown for a while, too."""
    registry.asked.clear()
    read_framed = reader(registry, "avro", tmp_path)
    for _ in range(3):
        read_framed(message)
        with pytest.raises(Unreadable):
            read_framed(message[:1] + (77).to_bytes(4, "big") + message[5:])
    assert registry.asked == {"/schemas/ids/1": 1, "/schemas/ids/77": 1}


def test_schema__that_is_known_is_read_without_the_registry(
    registry: SchemaRegistry, message: bytes, tmp_path: Path
) -> None:
    """A registry that goes away stops nobody who writes by schemas that were seen."""
    read_framed = reader(registry, "avro", tmp_path)
    before = read_framed(message)
    registry.stop()
    assert read_framed(message) == before


def test_registry__that_comes_back_is_waited_for(
    registry: SchemaRegistry, message: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is away the worker shows that it lives, and says what it waits for; then the message is read."""
    registry.stop()
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 3:
            registry.start()

    read_framed = reader(registry, "avro", tmp_path, Patience(beat, wait_s=60.0, pause_s=0.01))
    assert json.loads(read_framed(message))["user_id"] == "u1"
    assert len(beats) >= 3
    log = capsys.readouterr().err
    assert (
        f"event=registry.awaited time={log.partition('time=')[2].partition(' ')[0]} url={registry.url}" in log
    )
    assert "Connection refused" in log


@pytest.mark.parametrize("status", [500, 503, 429])
def test_registry__that_fails_ends_the_wait_in_one_line(
    registry: SchemaRegistry, message: bytes, tmp_path: Path, status: int
) -> None:
    """An error of the server is no word about the message: it is not set aside."""
    registry.failing = status
    with pytest.raises(RegistryUnavailable) as caught:
        reader(registry, "avro", tmp_path)(message)
    assert str(caught.value).startswith(
        f"registry: {registry.url} gave no schema for 0 s: not now (HTTP status code"
    )


def test_registry__that_is_none_is_no_unknown_schema(registry: SchemaRegistry, tmp_path: Path) -> None:
    """The 404 of any other server sets no message aside: the url may be wrong."""
    read_framed = reader(registry, "avro", tmp_path, url=f"{registry.url}/elsewhere")
    with pytest.raises(RegistryUnavailable, match="HTTP 404 Not Found"):
        read_framed(b"\0\0\0\0\1abc")


def test_registry__is_not_waited_for_when_asked_to_stop(registry: SchemaRegistry, tmp_path: Path) -> None:
    """SIGTERM is heeded at the next attempt."""
    registry.stop()
    stopped = threading.Event()
    patience = Patience(stopped.set, stopped.is_set, wait_s=60.0)
    with pytest.raises(RegistryUnavailable, match="did not answer before we were stopped"):
        reader(registry, "avro", tmp_path, patience)(b"\0\0\0\0\1abc")


def test_registry__that_refuses_the_login_is_not_asked_again(
    registry: SchemaRegistry, message: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Waiting does not mend a password; none is printed; the right one is let in."""
    registry.login = "reader:s3cret"
    registry.asked.clear()
    patience = Patience(wait_s=60.0)
    with pytest.raises(RegistryRefused) as caught:
        reader(registry, "avro", tmp_path, patience, basic_auth_user_info="reader:hunter2")(message)
    assert registry.asked.total() == 1
    assert str(caught.value) == (
        f"registry: {registry.url} refuses our login: who are you? (HTTP status code 401, SR code 40101)"
    )
    assert "hunter2" not in capsys.readouterr().err
    assert reader(registry, "avro", tmp_path, basic_auth_user_info=registry.login)(message)


def test_registry__errors_never_say_a_password(registry: SchemaRegistry, tmp_path: Path) -> None:
    """Whatever the libraries put into their messages, what is secret is hidden there."""
    proxy = "http://proxy:hunter2@127.0.0.1:1"
    login = {"proxy": proxy, "basic_auth_user_info": "u:hunter3"}
    found = settings(registry, "avro", tmp_path, **login)
    assert set(found.registry.secrets) >= {"hunter2", "hunter3", "u:hunter3"}
    with pytest.raises(RegistryUnavailable) as caught:
        open_readers(found, Patience(wait_s=0.0), ["a"])["a"](b"\0\0\0\0\1abc")
    assert "hunter" not in str(caught.value)
    registry.failing, registry.message = 500, "u:hunter3 may not, neither may hunter3"
    with pytest.raises(RegistryUnavailable, match=r"\*\*\* may not, neither may \*\*\* \(HTTP"):
        reader(registry, "avro", tmp_path, basic_auth_user_info="u:hunter3")(b"\0\0\0\0\1abc")
    assert "hunter" not in repr(found) + in_force(found)
    assert found.redacted()["registry"]["proxy"] == "http://proxy:***@127.0.0.1:1"


def test_readers__say_which_packages_are_missing(
    registry: SchemaRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra a worker says what to install; with no encoded topic nothing is imported."""
    for name in [name for name in sys.modules if name.startswith("flows.formats.framed.")]:
        if name.rpartition(".")[2] in ("avro", "json_schema", "registry"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.setitem(sys.modules, "fastavro.read", None)
    with pytest.raises(RegistryUnusable, match=r"not installed: pip install 'tierwise\[registry\]' \("):
        reader(registry, "avro", tmp_path)
    assert open_readers(settings(registry, "avro", tmp_path), Patience(), ["b"]) == {}


def test_readers__say_what_the_client_refuses(registry: SchemaRegistry, tmp_path: Path) -> None:
    """A certificate that cannot be read is a problem of the settings, not of the network."""
    with pytest.raises(RegistryUnusable, match=r"^registry: .*No such file"):
        reader(registry, "avro", tmp_path, ssl_ca_location="/nowhere/ca.pem")


def test_formats_page__installs_what_the_extra_names() -> None:
    """An image that is built as the page says has every package that a reader imports."""
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extra = document["project"]["optional-dependencies"]["registry"]
    needed = {re.split("[<>=]", requirement)[0] for requirement in extra} - {"confluent-kafka"}
    (line,) = re.findall(r"^RUN pip install (.+)$", (REPOSITORY / "docs" / "formats.md").read_text(), re.M)
    assert {re.split("[<>=]", name)[0] for name in line.replace('"', "").split()} == needed


def test_settings__say_where_the_registry_is(elsewhere: Path) -> None:
    """By file and environment, passwords from files; what is shown hides them."""
    (elsewhere / "login").write_text("u:hunter2\n", encoding="utf-8")
    found = read(
        elsewhere,
        ENCODED + "registry: {url: 'https://r:8081, https://s:8081/apis/ccompat/v7'}",
        TIERWISE_REGISTRY__BASIC_AUTH_USER_INFO_FILE=str(elsewhere / "login"),
    )
    assert found.registry.client_settings() == {
        "url": "https://r:8081, https://s:8081/apis/ccompat/v7",
        "basic.auth.user.info": "u:hunter2",
    }
    assert found.redacted()["topics"]["encodings"] == {"a": "avro"}
    shown = in_force(found)
    assert "basic_auth_user_info: '***'" in shown
    assert "hunter2" not in shown + repr(found)
    again = load_settings(write(elsewhere, shown.replace("'***'", "u:x")), {})
    assert again.registry.client_settings() == {
        **found.registry.client_settings(),
        "basic.auth.user.info": "u:x",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ENCODED, "$.registry.url: is missing: topics.encodings needs a Schema Registry"),
        (
            ENCODED + "registry: {url: 'r:8081'}",
            "$.registry.url: must be http://HOST:PORT or https://HOST:PORT, got",
        ),
        (
            ENCODED + "registry: {url: 'http://u:hunter2@r'}",
            "$.registry.url: holds a login; say basic_auth_user_info",
        ),
        (ENCODED + "registry: {url: 'http://r', basic_auth_user_info: hunter2}", "must be USER:PASSWORD"),
        (ENCODED + "registry: {url: 'http://r', basic_auth_user_info: 5}", "must be text, got int"),
        (ENCODED + "registry: {url: 'http://r', password: hunter2}", "unknown key; say basic_auth_user_info"),
        (ENCODED + "registry: {url: 'http://r', ssl_key_location: k.pem}", "needs ssl_certificate_location"),
        (
            "topics: {input: [a], encodings: {b: avro}}\nregistry: {url: 'http://r'}",
            "no input topic is named 'b'",
        ),
        (
            "topics: {input: [a], encodings: {a: protobuf}}\nregistry: {url: 'http://r'}",
            "$.topics.encodings.a: must be avro or json_schema, got 'protobuf'",
        ),
    ],
)
def test_settings__name_what_is_wrong_with_a_registry(elsewhere: Path, text: str, problem: str) -> None:
    """Each mistake is one line with its place, and no line holds a password."""
    with pytest.raises(SettingsError) as caught:
        read(elsewhere, text)
    (line,) = [str(found) for found in caught.value.problems]
    assert problem in line
    assert "hunter2" not in line
    assert [told for told in problems_of(write(elsewhere, text), {}) if problem in told]


def test_libraries__log_no_request(
    registry: SchemaRegistry, message: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the libraries say of each request is below what a worker prints."""
    with caplog.at_level(logging.WARNING):
        reader(registry, "avro", tmp_path)(message)
    assert caplog.records == []
