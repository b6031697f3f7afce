"""Tests of `tierwise dead-letters` on a real broker, beside a running worker."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.cli import main
from flows.dead_letters.letter import Letter, Place
from flows.dead_letters.sending import LetterSender
from flows.dev.generator import Message
from tests.conftest import REPOSITORY
from tests.integration.bench import Bench, now_ms
from tests.integration.outcome import read_all
from tests.integration.worker_process import WorkerProcess

DAY_MS = 86_400_000
RUBBISH = b'{"a":\xff\x1b[2J'
Tell = Callable[..., list[str]]


@pytest.fixture
def tell(one_topic: Bench, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Give a function that runs `tierwise dead-letters`, checks its exit code and answers its lines."""

    def run(*arguments: str, code: int = 0, out: bool = False) -> list[str]:
        found = main(["dead-letters", *arguments, "--settings", str(one_topic.settings)])
        shown = capsys.readouterr()
        assert found == code, shown
        return (shown.err if code and not out else shown.out).splitlines()

    return run


def event(user_id: str, event_id: str, **more: Any) -> dict[str, Any]:
    """Write an event of now."""
    return {"event_id": event_id, "user_id": user_id, "type": "page_view", "event_time": now_ms()} | more


def messages() -> list[Message]:
    """Write one good event, and five that are set aside for four reasons."""
    now = now_ms()
    refund = event("u1", "e2", type="order_refunded", order_id="o1", amount=5)
    return [
        Message("clickstream", b"u1", json.dumps(event("u1", "e1")).encode(), now),
        Message("clickstream", b"u1", json.dumps(refund).encode(), now),
        Message("clickstream", b"u2", json.dumps(event("u2", "e3")).encode(), now - DAY_MS),
        Message("clickstream", b"u3", b'{"note": "' + b"x" * 70_000 + b'"}', now),
        Message("clickstream", b"no user's", RUBBISH, now),
        Message("clickstream", b"no user's", RUBBISH, now),
    ]


def letters(bench: Bench) -> list[Letter]:
    """Read the dead-letter topic."""
    return [Letter.of(message) for message in read_all(bench.kafka, bench.topics.dead_letters)]


def committed(bench: Bench) -> list[int]:
    """Ask the broker for the offsets that the workers' group has committed."""
    spots = [TopicPartition(bench.inputs[0], one) for one in range(bench.topics.partitions)]
    spots += [TopicPartition(bench.topics.dead_letters, one) for one in range(bench.topics.partitions)]
    admin = AdminClient(bench.kafka.client_settings | {"log_level": "0"})
    asked = [ConsumerGroupTopicPartitions(bench.topics.group, spots)]
    (future,) = admin.list_consumer_group_offsets(asked).values()
    return [spot.offset for spot in future.result(timeout=10).topic_partitions]


def test_list__and_show_tell_all_and_disturb_nobody(one_topic: Bench, tell: Tell) -> None:
    """Every dead letter has a line, filters hold, the last line counts; the group does not notice."""
    count = one_topic.sender.send(messages())
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        worker.wait_until(lambda: sum(max(0, one) for one in committed(one_topic)) == count)
        before = committed(one_topic)
        assert_listed(tell, letters(one_topic))
        assert_shown(tell, one_topic, letters(one_topic))
        assert committed(one_topic) == before
        assert worker.log.count("event=partitions.assigned") == 1
        assert "event=partitions.revoked" not in worker.log
        assert worker.stop() == 0


def assert_listed(tell: Tell, found: list[Letter]) -> None:
    """Check what `list` says of all dead letters, and of some."""
    lines = tell("list")
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert lines[-1].startswith("5 dead letters: not_json 2, ")
    by_place = {line.split("  ")[0]: line for line in lines[:-1]}
    for letter in found:
        assert f"  {letter.reason}  {letter.source}  attempt 0  " in by_place[str(letter.place)]
    documents = [json.loads(line) for line in tell("list", "--json")]
    assert len(documents) == 6
    assert documents[-1]["reasons"] == Counter(one["reason"] for one in documents[:-1])
    assert tell("list", "--reason", "too_late") == ["no dead letters"]
    assert tell("list", "--reason", "not_json", "--reason", "too_large")[-1] == (
        "3 dead letters: not_json 2, too_large 1"
    )
    assert len(tell("list", "--since", "1h")) == 6
    assert tell("list", "--since", "2999-01-01T00:00:00Z") == ["no dead letters"]
    newest = max(found, key=lambda letter: (letter.failed_at_ms, letter.place))
    shown = tell("list", "--limit", "1")
    assert shown[0].startswith(f"{newest.place}  ")
    assert shown[1].startswith("5 dead letters, the newest 1 shown: ")


def assert_shown(tell: Tell, bench: Bench, found: list[Letter]) -> None:
    """Check that `show` gives headers and bytes back, and says so where there is nothing."""
    rubbish = next(letter for letter in found if letter.value == RUBBISH)
    lines = tell("show", str(rubbish.place))
    assert {"key: no user's", "reason: not_json", f"topic: {bench.inputs[0]}"} < set(lines)
    assert lines[-1] == '{"a":\\xff\\x1b[2J'
    command = [sys.executable, "-m", "flows.cli", "dead-letters", "show", "--raw", str(rubbish.place)]
    ran = subprocess.run(
        [*command, "--settings", str(bench.settings)], cwd=REPOSITORY, capture_output=True, check=True
    )
    assert ran.stdout == RUBBISH
    for place in ("0:99", "99:0"):
        (told,) = tell("show", place, code=1)
        assert f"{bench.topics.dead_letters} holds no message at {place}" in told


def test_replay__applies_what_can_be_applied_now(one_topic: Bench, tell: Tell) -> None:
    """What was mended counts once, what fails again says which attempt it was, and three are enough."""
    topic, total = one_topic.inputs[0], one_topic.sender.send(messages())
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), total)

        def replay(*selection: str, sends: int) -> str:
            nonlocal total
            total += sends
            told = tell("replay", *selection)[-1]
            assert told.startswith(f"replayed {sends} dead letter")
            one_topic.wait_done(worker, total)
            return told

        assert tell("replay", "--all", "--dry-run")[-1] == (
            "would replay 3 dead letters; left out 1 of the same bytes; "
            "refused 1: cut, so not the original bytes 1"
        )
        by_reason = {letter.reason: letter for letter in letters(one_topic)}
        assert "refused 1: cut" in tell("replay", str(by_reason["too_large"].place), code=1, out=True)[-1]
        assert len(read_all(one_topic.kafka, topic)) == total

        replay(str(by_reason["unknown_order"].place), sends=1)
        assert attempts(one_topic, "unknown_order") == [0, 1]
        one_topic.send(event("u1", "e4", type="order_paid", order_id="o1", amount=20))
        total += 1
        one_topic.wait_done(worker, total)
        assert f" ({topic} 3); " in replay("--all", sends=3)
        assert one_topic.profile("u1")["spend"] == "15.00"
        assert one_topic.profile("u2")["tier"]

        replay("--since", "1h", sends=3)
        replay("--reason", "not_json", sends=1)
        assert attempts(one_topic, "not_json") == [0, 0, 1, 2, 3]
        assert "replayed 3 times already 1" in replay("--reason", "not_json", sends=0)
        assert one_topic.profile("u1")["spend"] == "15.00"
        assert worker.metric("messages_duplicate_total") == 2
        assert worker.stop() == 0
    sent = [message for message in read_all(one_topic.kafka, topic) if message.value() == RUBBISH]
    assert [message.key() for message in sent] == [b"no user's"] * 5
    assert {message.partition() for message in sent} == {one_topic.sender.partition_of(b"no user's")}
    assert len({letter.source for letter in letters(one_topic)}) == len(letters(one_topic))


def attempts(bench: Bench, reason: str) -> list[int]:
    """Tell the attempts of the dead letters of one reason."""
    return sorted(letter.attempt for letter in letters(bench) if letter.reason == reason)


def test_sender__tells_what_was_not_delivered(bench: Bench) -> None:
    """Each message is confirmed or named: one for a partition that does not exist is not taken for sent."""
    sender = LetterSender(bench.kafka.client_settings)
    for number, partition in enumerate((0, 99, 1)):
        headers = (("topic", bench.inputs[0].encode()), ("partition", b"%d" % partition), ("offset", b"0"))
        sender.send(Letter(Place(0, number), None, b"x", headers, 0))
    sender.finish()
    assert sender.sent == {bench.inputs[0]: 2}
    assert sender.failed.keys() == {Place(0, 1)}


def test_list__says_what_it_cannot_reach(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the topic there is one clear line and exit code 1."""
    topics = {"input": list(bench.inputs), "changes": "c", "dead_letters": "no.such.letters"}
    settings = bench.write(topics=topics)
    assert main(["dead-letters", "list", "--settings", str(settings)]) == 1
    assert "no.such.letters: no such topic at " in capsys.readouterr().err
