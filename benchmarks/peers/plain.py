"""
A plain Python loop: confluent-kafka, a dict of users, redis-py.

As taught: consume(500), json, each event's profile in one pipeline a batch.
Tuned: consume(20000); msgspec with a typed struct; a user is written once in 0.25 s however many events it had;
commands are packed by hiredis and sent as one buffer; replies are counted, not looked at one by one.
State is in memory alone: nothing survives the process.
"""

import json

import redis
from confluent_kafka import Consumer, Producer

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, as_json, parsed
from benchmarks.peers.peer import READING, Meter, Task, read_task
from benchmarks.peers.profiles import Profiles


def open_consumer(task: Task, **settings: object) -> Consumer:
    """Join a group of our own."""
    consumer = Consumer({"bootstrap.servers": task.bootstrap, "group.id": task.prefix, **READING, **settings})
    consumer.subscribe(task.topics)
    return consumer


def taught(task: Task, meter: Meter) -> None:
    """Write what one would write first."""
    consumer = open_consumer(task)
    producer = Producer({"bootstrap.servers": task.bootstrap})
    store = redis.Redis.from_url(task.redis_url)
    users: dict[str, User] = {}
    while not meter.is_done:
        messages = consumer.consume(500, 0.1)
        pipeline = store.pipeline(transaction=False)
        for message in messages:
            user_id, kind, at_ms, cents = parsed(json.loads(message.value()))
            if user_id not in users:
                users[user_id] = User()
            user = users[user_id]
            before = user.apply(kind, at_ms, cents)
            if before != user.rung:
                producer.produce(task.changes, as_json(user.change(user_id, before)), user_id)
                producer.poll(0)
            pipeline.hset(task.key(user_id), mapping=user.profile())
        pipeline.execute()
        meter.took(len(messages))
    producer.flush()


def tuned(task: Task, meter: Meter) -> None:
    """Do the same with what saves time."""
    consumer = open_consumer(task, **{"fetch.queue.backoff.ms": 5})
    producer = Producer({"bootstrap.servers": task.bootstrap, "linger.ms": 20})
    profiles = Profiles(task, meter)
    users: dict[str, User] = {}
    waiting: dict[str, User] = {}
    taken = 0
    while not meter.is_done:
        messages = consumer.consume(20_000, 0.05)
        taken += len(messages)
        for message in messages:
            user_id, kind, at_ms, cents = decoded(message.value())
            user = users.get(user_id)
            if user is None:
                user = users[user_id] = User()
            before = user.apply(kind, at_ms, cents)
            if before != user.rung:
                producer.produce(task.changes, as_json(user.change(user_id, before)), user_id)
            waiting[user_id] = user
        producer.poll(0)
        if taken and (profiles.is_due or taken == meter.left):
            profiles.write_all(waiting, taken)
            waiting, taken = {}, 0
    producer.flush()


if __name__ == "__main__":
    chosen = read_task()
    found = Meter(chosen)
    (tuned if chosen.way == "tuned" else taught)(chosen, found)
    found.finish()
