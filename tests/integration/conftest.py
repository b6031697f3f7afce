"""What tests on real servers share. This file makes the benches of whole workers, and stores of shards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.policy_file import load_policy
from flows.dev.embedded import KafkaServer, ValkeyServer
from scoring.policy import Policy
from sinks.keyspace import Keyspace
from sinks.shard_store import ShardStore
from tests.conftest import Topics
from tests.integration.bench import Bench, Load, Place
from tests.integration.shard_writes import TOPICS
from tests.integration.worker_process import POLICY


@pytest.fixture
def place(
    valkey: ValkeyServer, kafka: KafkaServer, store: redis.Redis, topics: Topics, prefix: str, tmp_path: Path
) -> Place:
    """Give servers, topics, prefix and folder: what benches and sites are made of."""
    return valkey, kafka, store, topics, prefix, tmp_path


@pytest.fixture
def bench(place: Place, topics: Topics) -> Bench:
    """Prepare a worker that reads two topics."""
    return Bench(*place, topics.input)


@pytest.fixture
def one_topic(place: Place, topics: Topics) -> Bench:
    """Prepare a worker that reads one topic, so that its order is known however fast it is read."""
    return Bench(*place, (topics.clickstream,))


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Read the policy that ships."""
    return load_policy(POLICY)


@pytest.fixture
def load(one_topic: Bench) -> Iterator[Load]:
    """Send a story at its own pace while a test does something else."""
    running = Load(one_topic.sender)
    yield running
    running.finish()


@pytest.fixture
def keys(prefix: str) -> Keyspace:
    """Name the keys of the test."""
    return Keyspace(prefix)


@pytest.fixture
def shards(valkey: ValkeyServer, prefix: str) -> Iterator[ShardStore]:
    """Open a store."""
    store = ShardStore(valkey.url, prefix, TOPICS, retry_s=2.0)
    yield store
    store.close()


@pytest.fixture
def others(valkey: ValkeyServer, prefix: str) -> Iterator[ShardStore]:
    """Open the store of another worker."""
    store = ShardStore(valkey.url, prefix, TOPICS, retry_s=2.0)
    yield store
    store.close()
