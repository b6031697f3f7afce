"""The Redis users that ship are enough for a worker and for readers, and for nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from flows.dev.embedded import ValkeyServer
from scoring.policy import Policy
from sinks.profile_reader import ProfileReader
from tests.conftest import REPOSITORY, Topics, start_store
from tests.integration.bench import Bench
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess

SECRET = "canary-7f3a9c"
ALLOWED = (
    ("HGETALL", "{prefix}:user:u1"),
    ("SISMEMBER", "{prefix}:audience:tier:gold", "u1"),
    ("SCARD", "{prefix}:audience:tier:gold"),
)
DENIED = (
    ("HSET", "{prefix}:user:u1", "tier", "gold"),
    ("DEL", "{prefix}:user:u1"),
    ("HGETALL", "{prefix}:shard:{{00}}:meta"),
    ("HGETALL", "other:user:u1"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
)
DENIED_TO_WORKERS = (
    ("GET", "other:user:u1"),
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("CONFIG", "GET", "*"),
    ("EVAL", "return 1", "0"),
)


@pytest.fixture
def guarded(prefix: str) -> Iterator[ValkeyServer]:
    """Run a store that knows the users of config/redis-users.acl, and nobody else."""
    with start_store() as server:
        admin = redis.from_url(server.url)
        for line in (REPOSITORY / "config" / "redis-users.acl").read_text(encoding="utf-8").splitlines():
            if line.startswith("user "):
                words = line.replace("CHANGE-ME", SECRET).replace("tierwise:", f"{prefix}:").split()
                admin.execute_command("ACL", "SETUSER", *words[1:])
        yield server
        admin.close()


def as_user(server: ValkeyServer, name: str) -> str:
    """Answer the address with a login."""
    return server.url.replace("redis://", f"redis://{name}:{SECRET}@")


def run_all(url: str, prefix: str, commands: tuple[tuple[str, ...], ...]) -> list[Any]:
    """Run commands; answer what each gave, an error as itself."""
    client, answers = redis.from_url(url), []
    for command in commands:
        try:
            answers.append(client.execute_command(*(word.format(prefix=prefix) for word in command)))
        except NoPermissionError as error:
            answers.append(error)
    client.close()
    return answers


def test_users__do_their_work_and_nothing_else(
    guarded: ValkeyServer, one_topic: Bench, policy: Policy, prefix: str, topics: Topics
) -> None:
    """A worker with its user scores and publishes; no log line and no metric shows the password."""
    url = as_user(guarded, "tierwise-worker")
    settings = one_topic.write(redis={"url": url})
    one_topic.store = redis.from_url(guarded.url)
    count = one_topic.sender.send(story(events=1_000, users=100, seed=4))
    with WorkerProcess(settings) as worker:
        one_topic.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0
        assert SECRET not in worker.log
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))
    assert all(isinstance(one, NoPermissionError) for one in run_all(url, prefix, DENIED_TO_WORKERS))
    reader = as_user(guarded, "tierwise-reader")
    with ProfileReader(reader, prefix) as profiles:
        user_id = next(iter(one_topic.observed().profiles))
        assert profiles.profile(user_id) is not None
        assert list(profiles.audience("lifecycle", "active"))
    assert not [one for one in run_all(reader, prefix, ALLOWED) if isinstance(one, NoPermissionError)]
    assert all(isinstance(one, NoPermissionError) for one in run_all(reader, prefix, DENIED))


def test_users__a_wrong_password_ends_the_worker_without_showing_it(
    guarded: ValkeyServer, one_topic: Bench
) -> None:
    """The worker says that it was refused, with exit code 1, and does not repeat what it tried."""
    url = as_user(guarded, "tierwise-worker").replace(SECRET, "wrong-" + SECRET)
    with WorkerProcess(one_topic.write(redis={"url": url})) as worker:
        assert worker.wait_end() == 1
        assert "level=error" in worker.log
        assert SECRET not in worker.log
