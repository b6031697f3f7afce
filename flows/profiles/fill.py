"""This file writes the profiles of all users whom the store knows, for a topic that has just been made."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from flows.stop import StopFlag
from sinks.keyspace import Keyspace
from sinks.profile_reader import ProfileReader
from sinks.profile_topic import message_of
from sinks.redis_client import open_client

PAGE = 500
FLUSH_S = 90.0
"""More than a message may take: each is confirmed by then, or has failed."""
SETTINGS = {"linger.ms": 20, "enable.idempotence": True, "delivery.timeout.ms": 60_000, "log_level": 3}


def fill(
    kafka: Mapping[str, Any],
    partitioner: str,
    target: str,
    store: tuple[str, str],
    partitions: int,
    stop: StopFlag,
) -> Counter[str]:
    """
    Write every user's profile, until asked to stop; answer how many were `written` and how many `failed`.

    Nobody may follow the changes meanwhile: what is read here may be written behind something newer. Whoever
    follows them afterwards, from their beginning, sees again all that moved meanwhile.

    Args:
        store: URL and prefix.
        partitions: of the input, so shards.
    """
    producer, fate = Producer({**kafka, **SETTINGS, "partitioner": partitioner}), Counter[str]()

    def settle(error: KafkaError | None, _message: Message) -> None:
        fate["written" if error is None else "failed"] += 1

    with ProfileReader(*store) as reader:
        for page in _pages(*store, partitions):
            if stop.is_set:
                break
            for answer in reader.answers(page):
                if answer.profile is not None:  # Otherwise erased meanwhile.
                    value, headers = message_of(answer.profile)
                    key = answer.user_id.encode()
                    producer.produce(target, value, key, headers=headers, on_delivery=settle)
            producer.flush(FLUSH_S)
    return fate


def _pages(url: str, prefix: str, partitions: int) -> Iterator[list[str]]:
    """List all users, some perhaps twice: those of each shard, from its rows."""
    keys = Keyspace(prefix)
    with open_client(url) as client:
        for partition in range(partitions):
            for key in (keys.rows(partition), keys.cold(partition)):
                page: list[str] = []
                for user_id, _row in client.hscan_iter(key, count=PAGE):
                    page.append(user_id.decode())
                    if len(page) == PAGE:
                        yield page
                        page = []
                yield page
