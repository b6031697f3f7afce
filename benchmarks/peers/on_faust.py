"""
Faust, in its fork faust-streaming.

As taught: an agent over both topics, JSON values, a table, redis.asyncio for each profile, a topic for changes.
Tuned: raw values read by msgspec; stream.take(5000, within=0.25), so that a user's state goes to the table and its
profile to Redis once a batch, which needs use_partitioner; the event loop is Python's own.
State is in memory, with the changelog topic that a table has.
"""

from typing import Any

import faust
import redis.asyncio

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, as_json, parsed
from benchmarks.peers.peer import Meter, Task, read_task
from benchmarks.peers.profiles import Profiles


def application(task: Task) -> faust.App:
    """Build the application, its agent included."""
    app = faust.App(
        task.prefix,
        broker=f"kafka://{task.bootstrap}",
        store="memory://",
        datadir=str(task.folder),
        topic_partitions=4,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        web_enabled=False,
    )
    meter = Meter(task)
    events = app.topic(*task.topics, key_type=bytes, value_type=bytes, value_serializer="raw")
    if task.way == "taught":
        events = app.topic(*task.topics, key_type=bytes, value_serializer="json")
    users = app.Table(f"{task.prefix}-users", partitions=4, use_partitioner=task.way == "tuned")
    changes = app.topic(task.changes, value_serializer="raw")
    (tuned if task.way == "tuned" else taught)(app, task, meter, events, users, changes)
    return app


def taught(app: faust.App, task: Task, meter: Meter, events: Any, users: Any, changes: Any) -> None:
    """Add the agent that one would write first."""
    store = redis.asyncio.Redis.from_url(task.redis_url)

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        async for event in stream:
            user_id, kind, at_ms, cents = parsed(event)
            user = User.unpacked(users.get(user_id))
            before = user.apply(kind, at_ms, cents)
            users[user_id] = user.packed()
            if before != user.rung:
                await changes.send(key=user_id, value=as_json(user.change(user_id, before)))
            await store.hset(task.key(user_id), mapping=user.profile())
            meter.took(1)
            if meter.is_done:
                meter.finish()


def tuned(app: faust.App, task: Task, meter: Meter, events: Any, users: Any, changes: Any) -> None:
    """Add the agent that takes many at once."""
    profiles = Profiles(task, meter)

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        async for values in stream.take(5_000, within=0.25):
            touched: dict[str, User] = {}
            for value in values:
                user_id, kind, at_ms, cents = decoded(value)
                user = touched.get(user_id)
                if user is None:
                    user = touched[user_id] = User.unpacked(users.get(user_id))
                before = user.apply(kind, at_ms, cents)
                if before != user.rung:
                    await changes.send(key=user_id, value=as_json(user.change(user_id, before)))
            for user_id, user in touched.items():
                users[user_id] = user.packed()
            profiles.write_all(touched, len(values))
            if meter.is_done:
                meter.finish()


if __name__ == "__main__":
    chosen = read_task()
    faust.Worker(application(chosen), loglevel="ERROR").execute_from_commandline()
