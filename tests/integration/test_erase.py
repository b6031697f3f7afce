"""A user who is erased is gone from every key, says goodbye once, and does not come back with old input."""

import json

import pytest
import redis

from flows.cli import main
from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import DAY_MS, START_MS, assert_same, expected, read_all, story
from tests.integration.test_replay import rewind
from tests.integration.worker_process import WorkerProcess

USER = "erase-me{07}:x"
LATER_MS = START_MS + 40 * DAY_MS


def life(first: int, last: int, start_ms: int) -> list[dict[str, object]]:
    """Let the user buy something every day."""
    kinds = ("page_view", "add_to_cart", "order_paid")
    return [
        {
            "event_id": f"own-{day}-{kind}",
            "user_id": USER,
            "type": kind,
            "event_time": start_ms + day * DAY_MS,
            "order_id": f"own-order-{day}",
            "amount": "900.00",
        }
        for day in range(first, last)
        for kind in kinds
    ]


def erase(bench: Bench, *options: str) -> int:
    """Run the command as an operator does."""
    return main(["erase", USER, "--settings", str(bench.settings), *options])


def keys_that_name(store: redis.Redis, prefix: str, user_id: str) -> list[bytes]:
    """Look through every key and every value under the prefix."""
    wanted, found = user_id.encode(), []
    for key in store.scan_iter(f"{prefix}:*", count=1_000):
        kind = store.type(key)
        read = {b"hash": store.hgetall, b"set": store.smembers, b"string": store.get}
        held = read[kind](key) if kind in read else store.xrange(key)
        if wanted in key or any(wanted in one for one in _flat(held)):
            found.append(key)
    return found


def own_messages(bench: Bench) -> list[dict[str, object] | None]:
    """Read what the change topic says of the user; None is a tombstone."""
    messages = [one for one in read_all(bench.kafka, bench.topics.changes) if one.key() == USER.encode()]
    return [None if one.value() is None else json.loads(one.value()) for one in messages]


def test_erase__leaves_no_trace_and_no_way_back(
    one_topic: Bench, policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: gone at once, not back with old input, and back with the next `seq` when really returning."""
    bench = one_topic
    sent = bench.sender.send(story(events=2_000, users=200, seed=33))
    bench.send(*life(0, 3, START_MS))
    sent += 9
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), sent)
        before = bench.profile(USER)
        assert int(before["seq"]) >= 3
        assert len(keys_that_name(bench.store, bench.prefix, USER)) >= 3
        assert erase(bench) == 0
        assert keys_that_name(bench.store, bench.prefix, USER) == []
        assert bench.profile(USER) == {}
        assert USER not in worker.log
        assert USER not in capsys.readouterr().out
        told = own_messages(bench)
        assert told[-1] is None
        goodbyes = [one for one in told[:-1] if one is not None and one["cause"] == "erase"]
        assert [one["ladder"] for one in goodbyes][:3] == ["tier", "lifecycle", "aipl"]
        assert not any(field in one for one in goodbyes for field in ("to", "to_rank", "next", "falls_at"))
        assert 0 < goodbyes[0]["score"] <= float(before["tier.score"])
        assert sum(part["points"] for part in goodbyes[0]["why"]) == pytest.approx(goodbyes[0]["score"])
        assert goodbyes[0]["from"] == before["tier"]
        assert [one["seq"] for one in told[:-1] if one is not None] == list(range(1, len(told)))

        bench.send(*life(0, 3, START_MS))
        sent += 9
        bench.wait_done(worker, sent)
        assert keys_that_name(bench.store, bench.prefix, USER) == []
        worker.kill()

    rewind(bench)
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), sent)
        assert keys_that_name(bench.store, bench.prefix, USER) == []
        assert worker.metric("messages_replayed_skipped_total") > 0
        assert own_messages(bench) == told

        bench.send(*life(0, 2, LATER_MS))
        bench.wait_done(worker, sent + 6)
        after = bench.profile(USER)
        assert after["first_seen_ms"] == str(LATER_MS)
        assert after["orders"] == "2"
        returned = [one for one in own_messages(bench)[len(told) :] if one is not None]
        assert [one["seq"] for one in returned] == list(range(len(told), len(told) + len(returned)))
        assert int(after["seq"]) == returned[-1]["seq"]
        assert worker.stop() == 0
    assert_others_untouched(bench, policy)


def test_erase__without_its_marker_old_input_brings_the_user_back(one_topic: Bench) -> None:
    """The control: the same replay with the markers deleted makes the user known again."""
    bench = one_topic
    bench.send(*life(0, 3, START_MS))
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), 9)
        assert erase(bench) == 0
        worker.kill()
    rewind(bench)
    for key in bench.store.scan_iter(f"{bench.prefix}:shard:*:erased"):
        bench.store.delete(key)
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), 9)
        assert bench.profile(USER)["orders"] == "3"


def test_erase__waits_for_an_owner(one_topic: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """With no worker the request stays, exit code 1, and the next owner carries it out; an unknown user is none."""
    bench = one_topic
    bench.send(*life(0, 3, START_MS))
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), 9)
        assert worker.stop() == 0
    assert erase(bench, "--wait", "0.2") == 1
    assert "is a worker running?" in capsys.readouterr().err
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        worker.wait_until(lambda: not keys_that_name(bench.store, bench.prefix, USER))
    assert erase(bench) == 0
    assert "nothing to erase" in capsys.readouterr().out


def assert_others_untouched(bench: Bench, policy: Policy) -> None:
    """Compare everybody else with the reference, which knows no erasure."""
    found, wanted = bench.observed(), expected(policy, bench.sender)
    for outcome in (found, wanted):
        del outcome.profiles[USER], outcome.changes[USER]
        for members in outcome.audiences.values():
            members.discard(USER)
    found.audiences = {name: members for name, members in found.audiences.items() if members}
    wanted.audiences = {name: members for name, members in wanted.audiences.items() if members}
    assert_same(found, wanted)


def _flat(held: object) -> list[bytes]:
    """Answer every byte string in a reply of the store."""
    if isinstance(held, bytes):
        return [held]
    if isinstance(held, dict):
        return [one for pair in held.items() for part in pair for one in _flat(part)]
    if isinstance(held, list | tuple | set):
        return [one for part in held for one in _flat(part)]
    return []
