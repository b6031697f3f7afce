"""Tests of `tierwise profiles` on real servers: the newest profile of every user, and never an older one after it."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.dev.embedded import create_topics
from flows.stop import StopFlag
from tests.integration.bench import Bench
from tests.integration.outcome import read_all, story
from tests.integration.rekey_process import QUICK_TRANSACTIONS, HopProcess
from tests.integration.worker_process import QUICK_GROUP, WorkerProcess
from tests.unit.message_schemas import problems

KILLS = 4
COMMITTED = {"isolation.level": "read_committed"}
UNCOMMITTED = {"isolation.level": "read_uncommitted"}


@pytest.fixture
def settings(one_topic: Bench) -> Path:
    """Write settings under which a broker soon ends what a killed process left open."""
    quick = {**one_topic.kafka.client_settings, **QUICK_GROUP, **QUICK_TRANSACTIONS}
    path = one_topic.folder / "profiles.json"  # JSON is YAML.
    topics = {"input": list(one_topic.inputs), "changes": one_topic.topics.changes}
    redis = {"url": one_topic.valkey.url}
    content = {"prefix": one_topic.prefix, "kafka": quick, "topics": topics, "redis": redis}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run_to_end(settings: Path, *options: str) -> dict[str, int]:
    """Write what is to be written now; answer the counts."""
    with HopProcess("profiles", settings, "--until-end", *options) as process:
        assert process.wait_end() == 0, process.log
        return process.counts()


def newest(bench: Bench, isolation: dict[str, str] = COMMITTED) -> dict[str, Any]:
    """Read the newest message of every key; None is a tombstone."""
    found: dict[str, Any] = {}
    seq: dict[str, int] = {}
    for message in read_all(bench.kafka, f"{bench.prefix}.profiles", isolation):
        user_id = message.key().decode()
        document = None if message.value() is None else json.loads(message.value())
        if document is not None:
            assert document["seq"] >= seq.get(user_id, 0), "an older profile behind a newer one"
            seq[user_id] = document["seq"]
            headers = {name: value.decode() for name, value in message.headers()}
            assert problems("profile", document) + problems("profile#/$defs/headers", headers) == []
            assert headers["ce_id"] == f"{user_id}:{document['seq']}"
        found[user_id] = document
    return found


def assert_is_what_the_store_says(bench: Bench, found: dict[str, Any]) -> None:
    """Hold what a late reader knows to the profiles."""
    known = bench.observed().profiles
    assert {user_id for user_id, document in found.items() if document} == known.keys()
    for user_id, fields in known.items():
        document = found[user_id]
        assert str(document["seq"]) == fields["seq"]
        assert (document["policy"], document["tags"]) == (
            fields["policy"],
            fields["tags"].split(",") if fields["tags"] else [],
        )
        for name, ladder in document["ladders"].items():
            assert (ladder["rung"], str(ladder["rank"])) == (fields[name], fields[f"{name}.rank"])
            assert ladder.get("next", {}).get("rung") == fields.get(f"{name}.next")
            assert ("falls_at" in ladder) == (f"{name}.falls_at_ms" in fields)


def test_profiles__holds_the_newest_of_every_user(one_topic: Bench, settings: Path) -> None:
    """After each run the topic says of everyone what the store says, an erased user is gone, nothing is repeated."""
    messages = story(events=2_000, users=150, seed=8)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(messages[:1_000]))
        first = run_to_end(settings)
        assert_is_what_the_store_says(one_topic, newest(one_topic))
        assert run_to_end(settings)["read"] == 0
        one_topic.sender.send(messages[1_000:])
        one_topic.wait_done(worker, len(messages))
        user_id = min(one_topic.observed().profiles)
        assert main(["erase", user_id, "--settings", str(one_topic.settings)]) == 0
        second = run_to_end(settings)
        assert worker.stop() == 0
    found = newest(one_topic)
    assert found[user_id] is None
    assert_is_what_the_store_says(one_topic, found)
    assert first["read"] + second["read"] == len(read_all(one_topic.kafka, one_topic.topics.changes))
    assert (first.get("erased", 0), second["erased"]) == (0, 1)


def test_profiles__survives_kills(one_topic: Bench, settings: Path) -> None:
    """Killed anywhere under load, again and again, it ends with the newest of everyone."""
    moments = random.Random(6)
    messages = story(events=3_000, users=150, seed=9)
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        for kill in range(KILLS):
            one_topic.sender.send(messages[kill::KILLS])
            with HopProcess("profiles", settings) as process:
                process.wait_until(lambda process=process: process.owned() > 0)
                time.sleep(moments.random())
                process.kill()
        one_topic.wait_done(worker, len(messages))
        run_to_end(settings)
        assert worker.stop() == 0
    # The embedded broker can be long in ending what a killed process left open, and until then it shows nothing
    # behind that to those who ask for committed messages. What was copied twice is as new or newer.
    assert_is_what_the_store_says(one_topic, newest(one_topic, UNCOMMITTED))


def test_profiles__goes_on_where_its_port_is_taken(one_topic: Bench, settings: Path) -> None:
    """With a worker's settings the port may be the worker's: it copies all the same, and says what it lacks."""
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(story(events=200, users=20, seed=5)))
        with HopProcess("profiles", settings, port=worker.port) as process:
            process.wait_until(lambda: "event=http.refused" in process.log)
            process.wait_until(lambda: newest(one_topic).keys() == one_topic.observed().profiles.keys())
            assert process.stop() == 0
        assert worker.stop() == 0


def test_profiles__tells_how_far_it_is(one_topic: Bench, settings: Path) -> None:
    """What was read and written is counted once it is committed; without a store all that it owns stays behind."""
    messages = story(events=500, users=60, seed=12)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(messages))
        assert worker.stop() == 0
    changes = len(read_all(one_topic.kafka, one_topic.topics.changes))
    with HopProcess("profiles", at_no_store(settings)) as process:
        process.wait_until(lambda: process.metric("lag_messages") == changes)
        process.wait_until(lambda: process.metric("undone_total") > 0)
        assert (process.metric("read_total"), process.metric("written_total")) == (0, 0)
        assert process.wait_end() == 1
        assert "event=profiles.failed" in process.log
        assert "redis://127.0.0.1:1: Error 111" in process.log
    with HopProcess("profiles", settings) as process:
        process.wait_until(lambda: process.metric("read_total") == changes)
        # The gauges say nothing before its first look around.
        process.wait_until(lambda: process.metric("owned_partitions") == one_topic.topics.partitions)
        process.wait_until(lambda: process.metric("lag_messages") == 0)
        assert process.metric("written_total") >= len(one_topic.observed().profiles)
        assert process.stop() == 0, process.log


def at_no_store(settings: Path) -> Path:
    """Write the same settings with a store that is not there."""
    content = json.loads(settings.read_text(encoding="utf-8")) | {"redis": {"url": "redis://127.0.0.1:1"}}
    path = settings.with_name("no-store.json")
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_profiles__begins_with_the_store(one_topic: Bench, settings: Path) -> None:
    """Where the changes of old are deleted, all users are taken from the store, cold ones too; but only at first."""
    messages = story(events=1_000, users=120, seed=10)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(messages))
        content = json.loads(settings.read_text(encoding="utf-8"))
        create_topics(one_topic.kafka.bootstrap, [f"{one_topic.prefix}.emptied"], 3)
        content["topics"]["changes"] = f"{one_topic.prefix}.emptied"  # Retention has taken all.
        emptied = settings.with_name("emptied.json")
        emptied.write_text(json.dumps(content), encoding="utf-8")
        assert run_to_end(emptied, "--from-store")["read"] == 0
        assert_is_what_the_store_says(one_topic, newest(one_topic))
        assert worker.stop() == 0
    run_to_end(settings)
    assert_is_what_the_store_says(one_topic, newest(one_topic))
    assert main(["profiles", "--settings", str(settings), "--from-store", "--until-end"]) == 2


def test_profiles__says_when_it_was_stopped_half_way(
    one_topic: Bench, settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked to stop while it fills the topic, it ends with exit code 1, and nobody takes the topic for whole."""
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(story(events=100, users=20, seed=11)))
        assert worker.stop() == 0
    monkeypatch.setattr(StopFlag, "listen", lambda self: setattr(self, "is_set", True))
    assert main(["profiles", "--settings", str(settings), "--from-store", "--until-end"]) == 1
    assert "event=topic.half_filled" in capsys.readouterr().err
    assert newest(one_topic) == {}


def test_profiles__refuses_a_topic_that_is_not_its_own(one_topic: Bench, settings: Path) -> None:
    """Nothing is written into an input topic, and without a change topic there is nothing to follow."""
    assert main(["profiles", "--settings", str(settings), "--to", one_topic.inputs[0], "--until-end"]) == 2
    nowhere = settings.with_name("nowhere.json")
    content = json.loads(settings.read_text(encoding="utf-8"))
    content["topics"]["changes"] = f"{one_topic.prefix}.nowhere"
    nowhere.write_text(json.dumps(content), encoding="utf-8")
    assert main(["profiles", "--settings", str(nowhere), "--until-end"]) == 2
