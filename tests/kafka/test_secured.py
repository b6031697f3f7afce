"""Everything that reaches Kafka does so over TLS and with a login; what is refused is said in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from scoring.policy import Policy
from tests.certificates import Authority
from tests.integration.bench import Bench
from tests.integration.outcome import START_MS, assert_same, expected, story
from tests.integration.worker_process import QUICK_GROUP, WorkerProcess
from tests.kafka.secured import MECHANISMS, SecuredKafka
from tests.tls_store import PASSWORD

WRONG = "not-" + PASSWORD


@pytest.fixture
def kafka(secured_apache: SecuredKafka) -> SecuredKafka:
    """Put the secured broker in the place of the other."""
    secured_apache.start()
    return secured_apache


def write(bench: Bench, kafka: SecuredKafka, **login: Any) -> Path:
    """Write settings for another login."""
    return bench.write(kafka=kafka.settings_with(**login) | QUICK_GROUP)


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with exit code 1; answer its one line of error."""
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err
    (line,) = [line for line in said.err.splitlines() if "level=warn" not in line]
    return line


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_secured__carries_a_worker_and_the_commands(
    one_topic: Bench,
    kafka: SecuredKafka,
    policy: Policy,
    mechanism: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A worker with a login reads, publishes changes and dead letters, erases; the commands get in as well."""
    settings = write(one_topic, kafka, mechanism=mechanism)
    count = one_topic.sender.send(story(events=600, users=80, seed=42))
    one_topic.send({"event_id": "e", "user_id": "broken", "event_time": START_MS})
    with WorkerProcess(settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count + 1)
        found = one_topic.observed()
        assert_same(found, expected(policy, one_topic.sender))
        assert main(["dead-letters", "list", "--json", "--settings", str(settings)]) == 0
        listed = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert listed["dead_letters"] == len(found.dead_letters) >= 1
        assert main(["erase", next(iter(found.changes)), "--settings", str(settings)]) == 0
        assert worker.stop() == 0
        assert PASSWORD not in worker.log


def test_secured__a_wrong_password_ends_the_worker(one_topic: Bench, kafka: SecuredKafka) -> None:
    """A login that is refused is not tried for ever: one line that says what to mend, exit code 1."""
    with WorkerProcess(write(one_topic, kafka, password=WRONG)) as worker:
        assert worker.wait_end() == 1
        (line,) = [line for line in worker.log.splitlines() if "level=info" not in line]
        assert "level=error event=worker.failed" in line
        assert "SASL authentication error" in line
        assert "mend kafka.sasl" in line
        assert WRONG not in line


def test_secured__a_broker_of_another_authority_ends_the_worker(
    one_topic: Bench, kafka: SecuredKafka, tmp_path: Path
) -> None:
    """A certificate that nobody we trust has signed ends the worker, which names the setting."""
    with WorkerProcess(write(one_topic, kafka, trusts=Authority(tmp_path, "another"))) as worker:
        assert worker.wait_end() == 1
        (line,) = [line for line in worker.log.splitlines() if "level=info" not in line]
        assert "certificate verify failed" in line
        assert "ssl.ca.location" in line


def test_secured__the_commands_say_why_they_are_refused(
    one_topic: Bench, kafka: SecuredKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands that read Kafka name the refusal too, not only that nobody answered."""
    settings = ["--settings", str(write(one_topic, kafka, password=WRONG))]
    assert "SASL authentication error" in error_of(["dead-letters", "list", *settings], capsys)
    copy = ["rekey", "--from", one_topic.topics.orders, "--to", f"{one_topic.prefix}.copy", "--until-end"]
    assert "SASL authentication error" in error_of([*copy, *settings], capsys)


def test_secured__a_login_that_is_taken_away_is_an_outage(
    one_topic: Bench, kafka: SecuredKafka, policy: Policy
) -> None:
    """A running worker that is no longer let in waits, says so, and goes on when it is; nothing is lost."""
    shop = story(events=600, users=80, seed=43)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(shop[:300]))
        kafka.set_password(WRONG)
        kafka.kill()
        kafka.start()
        count = 300 + one_topic.sender.send(shop[300:])
        try:
            worker.wait_until(lambda: "SASL authentication error" in worker.log)
        finally:
            kafka.set_password(PASSWORD)
        one_topic.wait_done(worker, count)
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))
