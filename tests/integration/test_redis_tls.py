"""Everything that reaches the store does so over TLS, and trusts only whom it was told to trust."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import main
from scoring.policy import Policy
from tests.certificates import Authority
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess
from tests.tls_store import OTHER_ADDRESS, PASSWORD, TlsStore


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsStore]:
    """Put Redis behind TLS in the place of the embedded store."""
    with TlsStore(tmp_path_factory.mktemp("tls")) as server:
        yield server


def explain_over(bench: Bench, url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run `tierwise explain` where it must fail; answer its one line."""
    settings = bench.write(redis={"url": url})
    assert main(["explain", "nobody", "--settings", str(settings)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert PASSWORD not in line
    return line


def test_tls__carries_a_worker_and_the_commands(
    one_topic: Bench, policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an authority and a certificate in redis.url a worker scores, and users are explained and erased."""
    count = one_topic.sender.send(story(events=800, users=80, seed=41))
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        assert_same(one_topic.observed(), expected(policy, one_topic.sender))
        user = next(iter(one_topic.observed().profiles))
        assert main(["explain", user, "--settings", str(one_topic.settings)]) == 0
        assert user in capsys.readouterr().out
        assert main(["erase", user, "--settings", str(one_topic.settings)]) == 0
        assert one_topic.profile(user) == {}
        assert worker.stop() == 0
        assert PASSWORD not in worker.log


def test_tls__a_server_of_another_authority_ends_the_worker(
    one_topic: Bench, valkey: TlsStore, tmp_path: Path
) -> None:
    """A certificate that nobody we trust has signed is not tried again: one line, exit code 1, nothing written."""
    url = valkey.url_with(trusts=Authority(tmp_path, "another"))
    with WorkerProcess(one_topic.write(redis={"url": url})) as worker:
        assert worker.wait_end() == 1
        (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
        assert "StoreRefused" in line
        assert "certificate verify failed" in line
        assert "?ssl_ca_certs=FILE" in line
        assert PASSWORD not in worker.log
    assert not list(one_topic.store.scan_iter(f"{one_topic.prefix}:*"))


def test_tls__commands_refuse_whom_they_cannot_trust(
    one_topic: Bench, valkey: TlsStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another authority, and a server whose certificate is for another address, are named in one line."""
    another = valkey.url_with(trusts=Authority(tmp_path, "another"))
    assert "certificate verify failed" in explain_over(one_topic, another, capsys)
    elsewhere = valkey.url_with(host=OTHER_ADDRESS)
    assert "IP address mismatch" in explain_over(one_topic, elsewhere, capsys)


def test_tls__a_client_without_a_certificate_is_let_in_nowhere(
    one_topic: Bench, valkey: TlsStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the server asks for a client's certificate, the one in redis.url is what lets us in."""
    assert "explain: rediss://:***@" in explain_over(one_topic, valkey.url_with(with_own=False), capsys)
