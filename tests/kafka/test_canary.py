"""A password that stands in the settings stands nowhere else: not in logs, arguments, metrics, keys or messages."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest
import redis
import yaml

from tests.conftest import REPOSITORY
from tests.integration.bench import Bench
from tests.integration.outcome import START_MS, read_all, story
from tests.integration.worker_process import QUICK_GROUP, WorkerProcess
from tests.kafka.secured import SecuredKafka
from tests.tls_store import PASSWORD, TlsStore

CANARY = PASSWORD.encode()
NOWHERE = "127.0.0.1:1"
COMMAND_DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsStore]:
    """Put Redis behind TLS and a password in the place of the embedded store."""
    with TlsStore(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def kafka(secured_apache: SecuredKafka) -> SecuredKafka:
    """Put the secured broker in the place of the other."""
    secured_apache.start()
    return secured_apache


class Command:
    """One command of tierwise on its way, with settings of its own."""

    def __init__(self, arguments: str, settings: Path, environ: Mapping[str, str]) -> None:
        words = [sys.executable, "-m", "flows.cli", *arguments.split(), "--settings", str(settings)]
        own = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the command
        self._process = subprocess.Popen(
            words,
            env={**own, "PYTHONPATH": str(REPOSITORY), **environ},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )
        self.seen_from_outside = Path(f"/proc/{self._process.pid}/cmdline").read_bytes()

    def finish(self) -> tuple[int, bytes]:
        """Wait for its end; answer exit code and all that it said."""
        code = self._process.wait(COMMAND_DEADLINE_S)
        self._said.seek(0)
        return code, self._said.read()


def as_secret_files(bench: Bench, folder: Path) -> tuple[Path, dict[str, str]]:
    """Move what is secret out of the settings into files of their own; answer both."""
    settings = yaml.safe_load(bench.settings.read_text())
    secrets = {
        "REDIS__URL": settings.pop("redis")["url"],
        "KAFKA__SASL_PASSWORD": settings["kafka"].pop("sasl.password"),
    }
    environ = {}
    for name, value in secrets.items():
        file = folder / name
        file.write_text(value + "\n")
        environ[f"TIERWISE_{name}_FILE"] = str(file)
    path = folder / "without-secrets.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path, environ


def everything_stored(store: redis.Redis) -> Iterator[bytes]:
    """Read every key with its value, as the server would move it elsewhere."""
    for key in store.scan_iter(count=1_000):
        readers: dict[bytes, Callable[..., object]] = {
            b"hash": store.hgetall,
            b"set": store.smembers,
            b"stream": store.xrange,
            b"string": store.get,
        }
        yield key + repr(readers[store.type(key)](key)).encode()


def everything_published(bench: Bench) -> Iterator[bytes]:
    """Read keys, headers and values of all topics."""
    for topic in (*bench.topics.input, bench.topics.changes, bench.topics.dead_letters):
        for message in read_all(bench.kafka, topic):
            yield repr((message.key(), message.headers(), message.value())).encode()


def shown_by(worker: WorkerProcess) -> bytes:
    """Read what a worker shows of itself: metrics, arguments, log."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{worker.port}/metrics", timeout=5) as answer:
        metrics: bytes = answer.read()
    assert b"messages_consumed_total" in metrics
    return metrics + Path(f"/proc/{worker.pid}/cmdline").read_bytes() + worker.log.encode()


def test_canary__is_nowhere_to_be_found_while_all_goes_well(one_topic: Bench, tmp_path: Path) -> None:
    """A worker at work, and every command beside it, say nothing of the passwords they use."""
    count = one_topic.sender.send(story(events=600, users=60, seed=44))
    one_topic.send({"event_id": "e", "user_id": "broken", "event_time": START_MS})
    hidden, environ = as_secret_files(one_topic, tmp_path)
    with WorkerProcess(hidden, environ=environ) as worker:
        one_topic.wait_done(worker.wait_ready(), count + 1)
        user, leaver = sorted(one_topic.observed().profiles)[:2]
        arguments = (
            "check",
            f"explain {user}",
            "dead-letters list",
            "dead-letters list --json",
            "dead-letters replay --all",
            f"erase {leaver}",
            f"rekey --from {one_topic.topics.orders} --to {one_topic.prefix}.copy --until-end",
        )
        commands = {one: Command(one, hidden, environ) for one in arguments}
        for one, command in commands.items():
            code, said = command.finish()
            assert code == 0, said
            assert CANARY not in said + command.seen_from_outside, one
        assert CANARY not in shown_by(worker)
        assert worker.stop() == 0
        assert CANARY not in worker.log.encode()
    stored, published = list(everything_stored(one_topic.store)), list(everything_published(one_topic))
    assert len(stored) > 60 < len(published)
    assert not [one for one in stored + published if CANARY in one]


def test_canary__is_not_sung_in_distress(one_topic: Bench, kafka: SecuredKafka, valkey: TlsStore) -> None:
    """Starts that fail, for wrong passwords, hosts that do not answer or settings that are no settings, say why."""
    servers = kafka.client_settings | QUICK_GROUP
    user_and_place = f"worker:{PASSWORD}@{NOWHERE}"
    cases: dict[str, tuple[str, dict[str, object], int, str]] = {
        "wrong redis login": (
            "run",
            {"redis": {"url": valkey.url.replace("//:", "//:not-")}},
            1,
            "mend the login",
        ),
        "wrong kafka login": (
            "run",
            {"kafka": servers | {"sasl.password": f"not-{PASSWORD}"}},
            1,
            "SASL auth",
        ),
        "explain, wrong login": (
            "explain u",
            {"redis": {"url": valkey.url.replace("//:", "//:not-")}},
            1,
            "invalid",
        ),
        "no redis to explain": ("explain u", {"redis": {"url": f"redis://{user_and_place}/0"}}, 1, "refused"),
        "no redis to erase": ("erase u", {"redis": {"url": f"rediss://{user_and_place}/0"}}, 1, "refused"),
        "no kafka": ("dead-letters list", {"kafka": servers | {"bootstrap.servers": NOWHERE}}, 1, "refused"),
        "half a url": ("run", {"redis": {"url": user_and_place}}, 2, "must be redis://"),
        "a url with an option": ("run", {"redis": {"url": f"{valkey.url}&retry=9"}}, 2, "takes no option"),
        "a url in the wrong place": ("check", {"redis": valkey.url}, 2, "must be a mapping"),
        "an unknown kafka setting": ("check", {"kafka": servers | {"sasl.pasword": PASSWORD}}, 2, "unknown"),
        "a key that is none": ("check", {"kafka": servers | {"ssl.key.pem": PASSWORD}}, 2, "ssl.key.pem"),
    }
    commands = {}
    for name, (arguments, changed, _, _) in cases.items():
        settings = one_topic.write(http={"port": 0}, **({"kafka": servers} | changed))
        own = settings.rename(settings.with_name(f"{name}.yaml"))
        commands[name] = Command(arguments, own, {})
    for name, command in commands.items():
        code, said = command.finish()
        _, _, expected_code, reason = cases[name]
        assert (code, reason.encode() in said) == (expected_code, True), (name, said)
        assert CANARY not in said + command.seen_from_outside, name
        assert b"Traceback" not in said, name
    lonely = one_topic.write(kafka=servers | {"bootstrap.servers": NOWHERE})
    with WorkerProcess(lonely) as worker:
        worker.wait_until(lambda: "event=broker.awaited" in worker.log)
        assert "Connection refused" in worker.log
        assert CANARY not in worker.log.encode()
