"""This file is `tierwise erase USER`: it asks the owner of the user's shard, and waits until it is done."""

import sys
import time

from redis.exceptions import RedisError

from config.redis_rules import redacted_url
from config.settings import Settings
from sinks.erasure import ErasureDesk
from sinks.redis_client import open_client

DONE, FAILED = 0, 1
POLL_S = 0.05
RETRIES = 10  # About 3 s of refusals: a store that restarts meanwhile does not end the wait.


def erase(settings: Settings, user_id: str, *, wait_s: float) -> int:
    """Have a user erased; answer the exit code. What is printed does not repeat the id."""
    try:
        with open_client(settings.redis.url, retries=RETRIES) as redis:
            return _erase(ErasureDesk(redis, settings.prefix), user_id, wait_s)
    except RedisError as error:
        _say(f"{redacted_url(settings.redis.url)}: {error}")
        return FAILED


def _erase(desk: ErasureDesk, user_id: str, wait_s: float) -> int:
    partition = desk.request(user_id)
    if partition is None:
        print("unknown user: nothing to erase")
        return DONE
    give_up_s = time.monotonic() + wait_s
    while not desk.is_carried_out(user_id, partition):
        if time.monotonic() >= give_up_s:
            _say(
                f"shard {partition:02d}: asked for, not done within {wait_s:g} s: is a worker running? "
                "The request stays, and is carried out once the shard has an owner"
            )
            return FAILED
        time.sleep(POLL_S)
    last_entry = desk.last_entry(partition)
    while last_entry is not None and not desk.is_published(partition, last_entry):
        if time.monotonic() >= give_up_s:
            _say(
                f"shard {partition:02d}: erased, but the last changes could not be published within {wait_s:g} s: "
                "they wait in the outbox and leave it once Kafka takes them"
            )
            return FAILED
        time.sleep(POLL_S)
    print(
        f"erased from shard {partition:02d}; the input and change topics keep their messages for as long as "
        "their retention says"
    )
    return DONE


def _say(text: str) -> None:
    print(f"tierwise erase: {text}", file=sys.stderr)
