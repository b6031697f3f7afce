"""Tests of a worker's edges: what it refuses, how it ends, what it costs when idle, what it explains."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from flows.cli import main
from flows.dev.embedded import create_topics
from flows.dev.generator import Message
from tests.integration.bench import Bench, now_ms
from tests.integration.outcome import story
from tests.integration.worker_process import WorkerProcess
from tests.topic_admin import make_anew


def test_worker__refuses_topics_of_unequal_partitions(bench: Bench) -> None:
    """Input topics that cannot be one shard's are refused at start with the way out, exit code 2."""
    create_topics(bench.kafka.bootstrap, [f"{bench.prefix}.wide"], partitions=7)
    inputs = [bench.topics.orders, f"{bench.prefix}.wide"]
    with WorkerProcess(bench.write(inputs)) as worker:
        assert worker.wait_end() == 2
        assert "event=topics.refused" in worker.log
        assert f"{bench.topics.orders} has 4, {bench.prefix}.wide has 7" in worker.log
        assert "tierwise rekey --from" in worker.log


def test_worker__refuses_missing_topics(bench: Bench) -> None:
    """An input topic that does not exist is named, exit code 2."""
    with WorkerProcess(bench.write(["no.such.topic"])) as worker:
        assert worker.wait_end() == 2
        assert "no.such.topic not found" in worker.log


def test_worker__keeps_users_of_a_policy_without_ladders(bench: Bench) -> None:
    """What is known of a user without any ladder is kept, and goes on after a restart."""
    text = "{policy: counts, version: 1, currency: EUR, events: {buy: {order: true}}}"
    bench.folder.joinpath("policy.yaml").write_text(text, encoding="utf-8")
    settings = bench.write(policy=str(bench.folder / "policy.yaml"))
    event = {"user_id": "u1", "type": "buy", "event_time": now_ms(), "amount": "12.50"}
    for count in (1, 2):
        bench.send({**event, "event_id": f"e{count}", "order_id": f"o{count}"})
        with WorkerProcess(settings) as worker:
            worker.wait_until(lambda wanted=count: bench.profile("u1").get("orders") == str(wanted))
            assert worker.stop() == 0
    found = bench.profile("u1")
    assert (found["spend"], found["seq"], found["first_seen_ms"]) == ("25.00", "0", str(event["event_time"]))


def test_worker__refuses_a_topic_made_anew(bench: Bench) -> None:
    """A topic of the same name whose messages are others is refused: the stored offsets mean nothing there."""
    event = {"user_id": "u1", "type": "page_view", "event_time": now_ms()}
    bench.send({**event, "event_id": "e1"})
    with WorkerProcess(bench.settings) as worker:
        worker.wait_until(lambda: bench.written() == 1)
        assert worker.stop() == 0
    make_anew(bench.kafka.bootstrap, bench.topics.clickstream, bench.topics.partitions)
    bench.send({**event, "event_id": "e2"}, {**event, "event_id": "e3"})
    with WorkerProcess(bench.settings) as worker:
        assert worker.wait_end() == 1
        assert f"{bench.topics.clickstream}: was deleted and made anew" in worker.log
        assert "another prefix" in worker.log


def test_worker__stops_at_a_user_of_two_shards(bench: Bench) -> None:
    """A user with events in two partitions ends the worker, which names the way out, exit code 1."""
    event = {"user_id": "u1", "type": "page_view", "event_time": now_ms()}
    bench.send({**event, "event_id": "e1"})
    with WorkerProcess(bench.settings) as worker:
        worker.wait_until(lambda: bool(bench.profile("u1")))
        owner, again = int(bench.profile("u1")["shard"]), {**event, "event_id": "e2"}
        key = next(key for key in (b"a", b"b", b"c", b"d") if bench.sender.partition_of(key) != owner)
        bench.sender.send([Message("clickstream", key, json.dumps(again).encode(), now_ms())])
        assert worker.wait_end() == 1
        assert "not_copartitioned" in worker.log
        assert "tierwise rekey --from" in worker.log
        assert "stack backtrace" not in worker.log


def test_worker__stops_idle_within_a_second_or_two(bench: Bench) -> None:
    """An idle worker ends soon, whichever of the two signals asks it to."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with WorkerProcess(bench.settings) as worker:
            worker.wait_ready()
            os.kill(worker.pid, number)
            assert worker.wait_end(10) == 0


def test_worker__idles_cheaply(bench: Bench) -> None:
    """A worker with nothing to do uses a small part of a core, and goes on committing ticks."""
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        # Now and then: a machine that others use takes more time for the same.
        worker.wait_until(lambda: _cpu_share(worker.pid) < 0.15)
        assert worker.answers("/live") == 200


def test_explain__agrees_with_the_profile(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Rung, score, missing points and next fall are those of the profile; an unknown user ends with 1."""
    count = bench.sender.send(story(events=1_000, users=60, seed=18))
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0
    user_id = max(bench.observed().profiles.items(), key=lambda one: int(one[1]["seq"]))[0]
    profile = bench.profile(user_id)
    assert main(["explain", user_id, "--json", "--settings", str(bench.settings)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seq"], told["spend"], told["orders"]) == (
        int(profile["seq"]),
        profile["spend"],
        int(profile["orders"]),
    )
    assert sorted(name for name, tag in told["tags"].items() if tag["rung"] == "on") == [
        name for name in profile["tags"].split(",") if name
    ]
    for name, ladder in told["ladders"].items():
        assert (ladder["rung"], ladder["rank"]) == (profile[name], int(profile[f"{name}.rank"]))
        assert ladder["score"] == pytest.approx(float(profile[f"{name}.score"]), abs=2e-6)
        assert ("next" in ladder, "falls_at" in ladder) == (
            f"{name}.next" in profile,
            f"{name}.falls_at_ms" in profile,
        )
    assert main(["explain", "nobody", "--settings", str(bench.settings)]) == 1
    assert "no user 'nobody'" in capsys.readouterr().err


def _cpu_share(pid: int) -> float:
    """Measure for two seconds which part of a core a process uses."""
    started_s, used_s = time.monotonic(), _cpu_s(pid)
    time.sleep(2.0)  # A share of time cannot be waited for.
    return (_cpu_s(pid) - used_s) / (time.monotonic() - started_s)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
