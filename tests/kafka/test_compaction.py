"""Tests of topics that keep one message a key: tombstones that come in, changes that are thinned out."""

from flows.dev.generator import Message
from scoring.policy import Policy
from tests.integration.bench import Bench
from tests.integration.outcome import START_MS, assert_same, expected, read_all, story
from tests.integration.worker_process import WorkerProcess
from tests.topic_admin import configure

SHOP = story(events=1_500, users=40, seed=36)
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "100",
    "max.compaction.lag.ms": "100",
}


def test_worker__sets_tombstones_aside(one_topic: Bench, policy: Policy) -> None:
    """A message without a value is a dead letter, `not_json`, as on the embedded broker; its user goes on."""
    tombstone = Message("clickstream", SHOP[0].key, None, START_MS)  # type: ignore[arg-type]
    count = one_topic.sender.send([*SHOP[:100], tombstone, *SHOP[100:200]])
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0
    found = one_topic.observed()
    assert_same(found, expected(policy, one_topic.sender))
    empty = [
        letter for letter in read_all(one_topic.kafka, one_topic.topics.dead_letters) if not letter.value()
    ]
    assert [dict(letter.headers())["reason"] for letter in empty] == [b"not_json"]


def test_worker__publishes_to_a_compacted_topic(one_topic: Bench, policy: Policy) -> None:
    """Where only a user's last message is kept, that is the newest change, also after a crash."""
    configure(one_topic.kafka.bootstrap, one_topic.topics.changes, COMPACTED)
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), one_topic.sender.send(SHOP[:700]))
        count = len(SHOP[:700]) + one_topic.sender.send(SHOP[700:1_100])
        worker.wait_until(lambda: one_topic.written() > 800)
        worker.kill()
    with WorkerProcess(one_topic.settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        count += one_topic.sender.send(SHOP[1_100:])
        one_topic.wait_done(worker, count)
        profiles = expected(policy, one_topic.sender).profiles.items()
        made = {user_id: int(profile["seq"]) for user_id, profile in profiles if profile["seq"] != "0"}
        worker.wait_until(lambda: len(changes(one_topic)) < sum(made.values()))
        assert worker.stop() == 0
    last = {user_id: int(seq) for user_id, _, seq in (one.rpartition(":") for one in changes(one_topic))}
    assert last == made


def changes(bench: Bench) -> list[str]:
    """Read the ids of the changes that are left, each partition in its order."""
    return [dict(one.headers())["ce_id"].decode() for one in read_all(bench.kafka, bench.topics.changes)]
