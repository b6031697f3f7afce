"""A command that carries messages, as a process. This file listens for signals, serves metrics, says why it ends."""

from collections.abc import Callable
from contextlib import closing, nullcontext

from confluent_kafka import KafkaException
from redis.exceptions import RedisError

from config.redis_rules import redacted_url
from config.settings import Settings
from flows.formats.framed.unreadable import RegistryUnavailable, RegistryUnusable
from flows.hop.bounded_call import Stuck
from flows.hop.source import CopyGap
from flows.hop.target import CopyRefused, said
from flows.hop.watch import HopWatch
from flows.log import log, take_over_logging
from flows.measure import program_version
from flows.patience import BrokerUnavailable
from flows.serving import serve_as_set
from flows.stop import StopFlag
from flows.topics import UnfitTopics

DONE, FAILED, UNFIT = 0, 1, 2


def run_command(
    name: str,
    settings: Settings,
    carry: Callable[[StopFlag, HopWatch], int],
    *,
    until_end: bool,
) -> int:
    """
    Carry, and say in one line what kept us from it; answer the exit code.

    Args:
        until_end: it ends by itself, so nobody will ask it for metrics.
    """
    take_over_logging()
    stop = StopFlag()
    stop.listen()
    watch = HopWatch(settings.prefix, name, program_version())
    server = None
    if not until_end:
        # With a worker's settings the port may be the worker's. What is carried matters more than what is told of it.
        signs = {"live": watch.is_live, "ready": watch.is_ready}
        server = serve_as_set(settings, watch.registry, **signs, is_needed=False)
    try:
        with closing(server) if server else nullcontext():
            return carry(stop, watch)
    except UnfitTopics as error:
        log("error", "topics.refused", error=error)
        return UNFIT
    except RegistryUnusable as error:
        log("error", "registry.refused", error=error)
        return UNFIT
    except RedisError as error:
        log("error", f"{name}.failed", error=f"{redacted_url(settings.redis.url)}: {error}")
    except (BrokerUnavailable, CopyGap, CopyRefused, KafkaException, RegistryUnavailable, Stuck) as error:
        log("error", f"{name}.failed", error=said(error))
    return FAILED
