"""An owner that takes over an outbox sends what the broker does not hold yet, and nothing else."""

from collections.abc import Iterator

import pytest
import redis

from flows.dev.embedded import KafkaServer, ValkeyServer
from sinks.keyspace import Keyspace
from sinks.outbox import OutboxBatch, OutboxEntry, pack, to_bytes
from sinks.output_tail import OutputTail
from sinks.relay import Relay
from sinks.shard_store import ShardStore
from tests.conftest import Topics
from tests.integration.outcome import read_all

COUNT = 400
SIZE = 20
PARTITION = 3


def entry(number: int, text: str = "") -> OutboxEntry:
    """Make a change, or now and then a dead letter."""
    key = f"u{number % 9}".encode()
    if number % 10 == 0:
        return OutboxEntry("dead_letter", None, (("offset", b"%d" % number),), b"\xff{")
    return OutboxEntry("change", key, (("ce_id", b"%b:%d" % (key, number)),), f"{number}{text}".encode())


@pytest.fixture
def shards(valkey: ValkeyServer, topics: Topics, prefix: str) -> Iterator[ShardStore]:
    """Open the store as a worker does."""
    store = ShardStore(valkey.url, prefix, topics.input)
    yield store
    store.close()


@pytest.fixture
def tail(kafka: KafkaServer, topics: Topics) -> OutputTail:
    """Look at the ends of the test's topics."""
    return OutputTail(kafka.client_settings, topics.outputs)


def publish(kafka: KafkaServer, topics: Topics, batches: list[OutboxBatch], **known: frozenset[str]) -> Relay:
    """Publish and wait for the broker; the relay that did it tells how far it came."""
    relay = Relay(kafka.client_settings, topics.outputs)
    relay.publish(PARTITION, batches, **known)
    assert relay.flush(20)
    return relay


def test_tail__after_a_crash_only_the_rest_is_sent(
    kafka: KafkaServer, topics: Topics, shards: ShardStore, tail: OutputTail
) -> None:
    """300 of 400 were delivered and 100 of these trimmed: the next owner finds 300, knows 200, and sends 100."""
    first = shards.claim(PARTITION)
    stored = [
        shards.write_chunk(first, b"", 0, pack([entry(number) for number in range(at, at + SIZE)]))
        for at in range(0, COUNT, SIZE)
    ]
    relay = publish(kafka, topics, stored[: 100 // SIZE])
    trim = {"trim_to": relay.delivered_to(PARTITION), "tails": relay.tails(PARTITION)}
    shards.write_chunk(first, b"", 0, **trim)
    relay.close()
    publish(kafka, topics, stored[100 // SIZE : 300 // SIZE]).close()

    second = shards.claim(PARTITION)
    left = shards.load_outbox(second)
    assert second.tails == relay.tails(PARTITION)
    assert left == stored[100 // SIZE :]
    known = tail.published(left, second.tails)
    assert known == {one.id for held in stored[100 // SIZE : 300 // SIZE] for one in held.entries()}
    relay = publish(kafka, topics, left, published=known)
    assert relay.delivered_to(PARTITION) == stored[-1].last_id
    relay.close()
    sent = [one.value() for topic in topics.outputs.values() for one in read_all(kafka, topic)]
    assert len(sent) == COUNT


def test_tail__knows_what_an_earlier_version_published(
    kafka: KafkaServer, topics: Topics, shards: ShardStore, store: redis.Redis, prefix: str, tail: OutputTail
) -> None:
    """Of an outbox with one message an entry, and one of them published, the rest is sent, and all is trimmed."""
    claim = shards.claim(PARTITION)
    key = Keyspace(prefix).outbox(PARTITION)
    for number in range(1, 10):
        store.xadd(key, {"entry": to_bytes(entry(number))}, id=f"0-{number}")
    found = shards.load_outbox(claim)
    publish(kafka, topics, found[:1]).close()
    known = tail.published(found, claim.tails)
    assert known == {"0-1"}
    relay = publish(kafka, topics, found, published=known)
    shards.write_chunk(claim, b"", 0, trim_to=relay.delivered_to(PARTITION), tails=relay.tails(PARTITION))
    relay.close()
    assert shards.load_outbox(claim) == []
    sent = [int(one.value()) for one in read_all(kafka, topics.changes)]
    assert sorted(sent) == list(range(1, 10))


def test_tail__without_it_everything_left_is_sent_again(kafka: KafkaServer, topics: Topics) -> None:
    """The control: an owner that does not look repeats what was delivered and not trimmed."""
    batch = pack([entry(number) for number in range(1, 10)], "1-0")
    publish(kafka, topics, [batch]).close()
    publish(kafka, topics, [batch]).close()
    assert len(read_all(kafka, topics.changes)) == 18


def test_tail__knows_only_the_same_bytes(kafka: KafkaServer, topics: Topics, tail: OutputTail) -> None:
    """After a rollback of the store an entry with another content is sent, whatever id and number it has."""
    publish(kafka, topics, [pack([entry(1), entry(2)], "1-0")]).close()
    left = pack([entry(1), entry(2, "other")], "1-0")
    assert tail.published([left], {}) == {"1-0"}


def test_tail__sends_a_user_again_from_what_is_missing(
    kafka: KafkaServer, topics: Topics, tail: OutputTail
) -> None:
    """Where compaction took an older change and left a newer one, both are sent: the newest stays the last."""
    of_u1, of_u2 = (entry(1), entry(19), entry(28)), (entry(2), entry(11))
    left = pack([*of_u1, *of_u2], "1-0")
    assert [one.key for one in left.entries()] == [b"u1", b"u1", b"u1", b"u2", b"u2"]
    publish(kafka, topics, [pack([of_u1[0], of_u1[2], *of_u2], "1-0")]).close()
    assert tail.published([left], {}) == {"1-0", "1-3", "1-4"}


def test_tail__of_a_topic_made_anew_or_cut(kafka: KafkaServer, topics: Topics, tail: OutputTail) -> None:
    """Ends beyond what the topic holds do no harm: what is not found is sent."""
    batch = pack([entry(1)], "1-0")
    publish(kafka, topics, [batch]).close()
    beyond = {f"{topics.changes}:{number}": 10_000 for number in range(topics.partitions)}
    assert tail.published([batch], beyond) == frozenset()
