"""This file opens plain clients of Redis, for all that may ask twice; the worker's own writes go through redis_pipe."""

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

TIMEOUT_S = 5.0
RETRIES = 3


def open_client(url: str, timeout_s: float = TIMEOUT_S, *, retries: int = RETRIES) -> Redis:
    """
    Read a redis://, rediss:// or unix:// URL; options in its query win.

    A command without an answer is sent again, so only what may happen twice belongs here: reads, sets of names.

    Args:
        timeout_s: of connecting and of each answer.
        retries: after the first attempt; redis-py's own default is ten, which it does not say.
    """
    return Redis.from_url(  # noqa: TID251
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(ExponentialBackoff(), retries),
    )
