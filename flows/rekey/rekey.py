"""
This file runs `tierwise rekey`: it copies a topic, each message keyed by its `user_id`.

A dataflow of one stage: read, key, write, all in one transaction. It needs neither the engine nor the store.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Message

from config.settings import Settings
from flows.hop.bounded_call import Stuck
from flows.hop.hop import Ends, Hop
from flows.hop.source import CopyGap
from flows.hop.target import Copy, CopyRefused, said
from flows.log import log, take_over_logging
from flows.patience import BrokerUnavailable
from flows.rekey.topics import Route, check_route, prepare_target
from flows.rekey.user_key import key_reader
from flows.stop import StopFlag
from flows.topics import UnfitTopics

DONE, FAILED, UNFIT = 0, 1, 2
PARTITIONER_DEFAULT = "murmur2_random"


def rekey(
    settings: Settings, route: Route, *, group: str | None, partitioner: str | None, until_end: bool
) -> int:
    """Copy until asked to stop, or to the present end of the topic; answer the exit code."""
    take_over_logging()
    stop = StopFlag()
    stop.listen()
    group = group or f"{settings.group}.rekey.{route.source}.{route.target}"
    partitioner = partitioner or settings.kafka.get("partitioner", PARTITIONER_DEFAULT)
    try:
        check_route(route, settings.topics)
        target = prepare_target(settings.kafka, route, settings.topics, group)
        log(
            "info",
            "rekey.started",
            reads=route.source,
            group=group,
            writes=route.target,
            partitions=target.partitions,
            partitioner=partitioner,
            until="the present end" if until_end else "stopped",
        )
        ends = Ends(route.source, route.target, group, partitioner, target.bytes_max)
        user_of = key_reader(settings.topics.formats.get(route.target), settings.event_bytes_max)
        hop = Hop("rekey", settings.kafka, ends, stop, partial(keyed_by_user, user_of))
        stop.is_running = True
        hop.run(until_end=until_end)
        return DONE
    except UnfitTopics as error:
        log("error", "topics.refused", error=error)
        return UNFIT
    except (BrokerUnavailable, CopyGap, CopyRefused, KafkaException, Stuck) as error:
        log("error", "rekey.failed", error=said(error))
    return FAILED


def keyed_by_user(user_of: Callable[[Any], bytes | None], messages: Sequence[Message]) -> Iterator[Copy]:
    """
    Give each message its user's key.

    One that nobody can be made out of is the worker's to set aside; it goes where it would.
    """
    for message in messages:
        user_id = user_of(message)
        kind = "kept_their_key" if user_id is None else "keyed_by_user"
        key = message.key() if user_id is None else user_id
        yield Copy(message, key, message.value(), message.headers(), kind)
