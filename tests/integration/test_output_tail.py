"""An owner that takes over an outbox sends what the broker does not hold yet, and nothing else."""

from collections.abc import Iterator

import pytest

from flows.dev.embedded import KafkaServer, ValkeyServer
from sinks.outbox import OutboxEntry
from sinks.output_tail import OutputTail
from sinks.relay import Relay
from sinks.shard_store import ShardStore
from tests.conftest import Topics
from tests.integration.outcome import read_all

COUNT = 400
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


def publish(kafka: KafkaServer, topics: Topics, entries: list[OutboxEntry], **known: frozenset[str]) -> Relay:
    """Publish and wait for the broker; the relay that did it tells how far it came."""
    relay = Relay(kafka.client_settings, topics.outputs)
    relay.publish(PARTITION, entries, **known)
    assert relay.flush(20)
    return relay


def test_tail__after_a_crash_only_the_rest_is_sent(
    kafka: KafkaServer, topics: Topics, shards: ShardStore, tail: OutputTail
) -> None:
    """300 of 400 were delivered and 100 of these trimmed: the next owner finds 300, knows 200, and sends 100."""
    first = shards.claim(PARTITION)
    stored = shards.write_chunk(first, b"", 0, [entry(number) for number in range(COUNT)])
    relay = publish(kafka, topics, stored[:100])
    trim = {"trim_to": relay.delivered_to(PARTITION), "tails": relay.tails(PARTITION)}
    shards.write_chunk(first, b"", 0, **trim)
    publish(kafka, topics, stored[100:300]).close()

    second = shards.claim(PARTITION)
    left = shards.load_outbox(second)
    assert second.tails == relay.tails(PARTITION)
    assert [one.id for one in left] == [one.id for one in stored[100:]]
    known = tail.published(left, second.tails)
    assert known == {one.id for one in stored[100:300]}
    relay = publish(kafka, topics, left, published=known)
    assert relay.delivered_to(PARTITION) == stored[-1].id
    sent = [one.value() for topic in topics.outputs.values() for one in read_all(kafka, topic)]
    assert len(sent) == COUNT


def test_tail__without_it_everything_left_is_sent_again(kafka: KafkaServer, topics: Topics) -> None:
    """The control: an owner that does not look repeats what was delivered and not trimmed."""
    entries = [entry(number).numbered(1, number) for number in range(1, 10)]
    publish(kafka, topics, entries).close()
    publish(kafka, topics, entries).close()
    assert len(read_all(kafka, topics.changes)) == 18


def test_tail__knows_only_the_same_bytes(kafka: KafkaServer, topics: Topics, tail: OutputTail) -> None:
    """After a rollback of the store an entry with another content is sent, whatever id and number it has."""
    publish(kafka, topics, [entry(1).numbered(1, 0), entry(2).numbered(1, 1)]).close()
    left = [entry(1).numbered(1, 0), entry(2, "other").numbered(1, 1)]
    assert tail.published(left, {}) == {"1-0"}


def test_tail__sends_a_user_again_from_what_is_missing(
    kafka: KafkaServer, topics: Topics, tail: OutputTail
) -> None:
    """Where compaction took an older change and left a newer one, both are sent: the newest stays the last."""
    of_u1, of_u2 = (entry(1), entry(19), entry(28)), (entry(2), entry(11))
    left = [one.numbered(1, number) for number, one in enumerate((*of_u1, *of_u2))]
    assert [one.key for one in left] == [b"u1", b"u1", b"u1", b"u2", b"u2"]
    publish(kafka, topics, [left[0], left[2], left[3], left[4]]).close()
    assert tail.published(left, {}) == {"1-0", "1-3", "1-4"}


def test_tail__of_a_topic_made_anew_or_cut(kafka: KafkaServer, topics: Topics, tail: OutputTail) -> None:
    """Ends beyond what the topic holds do no harm: what is not found is sent."""
    publish(kafka, topics, [entry(1).numbered(1, 0)]).close()
    beyond = {f"{topics.changes}:{number}": 10_000 for number in range(topics.partitions)}
    assert tail.published([entry(1).numbered(1, 0)], beyond) == frozenset()
