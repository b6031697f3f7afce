"""What `redis.url` may say, judged before anything connects, and how it is shown."""

import json
from pathlib import Path

import pytest

from config.problems import Problem
from config.redis_rules import redacted_url
from config.settings import read_settings
from tests.certificates import Authority

SECRET = "hunter2"
PLACE = f"rediss://worker:{SECRET}@127.0.0.1:6379/0"


def problems(folder: Path, text: str) -> list[Problem]:
    """Judge a settings file."""
    file = folder / "tierwise.yaml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file, {})[1]


def complaint(folder: Path, url: str) -> str:
    """Say what is wrong with a url, in one line; empty when nothing is."""
    found = problems(folder, f"redis: {{url: {json.dumps(url)}}}\n")
    assert len(found) <= 1
    return str(found[0]) if found else ""


def test_redis_url__takes_the_files_of_tls(tmp_path: Path) -> None:
    """An authority, and a certificate of our own with its key, are named in the query."""
    authority = Authority(tmp_path)
    own = authority.sign("worker")
    files = f"ssl_ca_certs={authority.file}&ssl_certfile={own.file}&ssl_keyfile={own.key}"
    assert complaint(tmp_path, f"{PLACE}?{files}&socket_timeout=1") == ""


def test_redis_url_error__names_files_that_tls_cannot_use(tmp_path: Path) -> None:
    """A file that is missing, is no certificate, or does not fit its key is named before anything connects."""
    authority = Authority(tmp_path)
    own, other = authority.sign("worker"), authority.sign("other")
    missing = complaint(tmp_path, f"{PLACE}?ssl_ca_certs=/nowhere.pem")
    assert (
        missing
        == "$.redis.url: ssl_ca_certs names '/nowhere.pem', which cannot be used: No such file or directory"
    )
    assert "no certificate or crl found" in complaint(tmp_path, f"{PLACE}?ssl_ca_certs={own.key}")
    unlike = complaint(tmp_path, f"{PLACE}?ssl_certfile={own.file}&ssl_keyfile={other.key}")
    assert "key values mismatch" in unlike
    assert "ssl_keyfile without ssl_certfile" in complaint(tmp_path, f"{PLACE}?ssl_keyfile={own.key}")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"{PLACE}?ssl_ca_cert=a", "takes no option ssl_ca_cert; known: username"),
        (f"{PLACE}?protocol=3", "takes no option protocol"),
        ("redis://store/0?ssl_ca_certs=a", "takes no option ssl_ca_certs; TLS is rediss://; known"),
        (f"{PLACE}?socket_timeout=long", "redis-py refuses it: Invalid value for 'socket_timeout'"),
        (f"{PLACE}?ssl_cert_reqs=maybe", "redis-py refuses it: Invalid SSL Certificate Requirements Flag"),
        (
            f"redis://u:12/{SECRET}@store/0",
            "must end with the number of a database, got 'redis://u:***@store/0'",
        ),
        (f"worker:{SECRET}@store:6379", "got '***@store:6379'"),
    ],
)
def test_redis_url_error__is_one_line_without_the_password(tmp_path: Path, url: str, problem: str) -> None:
    """What redis-py would stumble over at the first connection is said at once."""
    line = complaint(tmp_path, url)
    assert problem in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "text",
    [
        f"redis: redis://:{SECRET}@store/0",
        f"redis: {{url: [{SECRET}]}}",
        f"kafka: {{sasl.password: *{SECRET}}}",
        f"kafka: {{sasl.password: !{SECRET} x}}",
        f"kafka:\n  sasl.password: {SECRET}: x\n",
        f'kafka:\n  sasl.password: "{SECRET}\n',
    ],
)
def test_settings_error__does_not_repeat_a_password_in_the_wrong_place(tmp_path: Path, text: str) -> None:
    """A file that is written wrong is named by line or key, not by what stands there."""
    found = problems(tmp_path, text)
    assert found
    assert not [one for one in found if SECRET in str(one)]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:p@ss:w@host:1/0", "redis://:***@host:1/0"),
        ("redis://user@host/0", "redis://user@host/0"),
        ("unix:///run/redis.sock?password=a&db=1", "unix:///run/redis.sock?password=***&db=1"),
        ("rediss://host/0?ssl_password=a&db=1", "rediss://host/0?ssl_password=***&db=1"),
        ("user:p@host", "***@host"),
        ("host:6379", "host:6379"),
    ],
)
def test_redis_url__is_shown_without_its_password(url: str, shown: str) -> None:
    """What is left of a url still says where it leads."""
    assert redacted_url(url) == shown
