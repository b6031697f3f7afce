"""
This file runs `tierwise rekey`: it copies a topic, each message keyed by its `user_id`.

A dataflow of one stage: read, key, write, all in one transaction. It needs neither the engine nor the store.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from confluent_kafka import Message

from config.settings import Settings
from flows.formats.framed.patience import Patience
from flows.formats.framed.reading import open_readers
from flows.formats.framed.unreadable import RegistryRefused, RegistryUnavailable
from flows.hop.hop import Ends, Hop, NotTranslated
from flows.hop.running import DONE, run_command
from flows.hop.target import Copy
from flows.hop.watch import HopWatch
from flows.log import log
from flows.rekey.topics import Route, check_route, prepare_target
from flows.rekey.user_key import UserOf, key_reader
from flows.stop import StopFlag
from sinks.dead_letters import readable_headers

PARTITIONER_DEFAULT = "murmur2_random"


def rekey(
    settings: Settings, route: Route, *, group: str | None, partitioner: str | None, until_end: bool
) -> int:
    """Copy until asked to stop, or to the present end of the topic; answer the exit code."""
    group = group or f"{settings.group}.rekey.{route.source}.{route.target}"
    partitioner = partitioner or settings.kafka.get("partitioner", PARTITIONER_DEFAULT)

    def carry(stop: StopFlag, watch: HopWatch) -> int:
        check_route(route, settings.topics)
        # What waits is the hop: it goes back to what is committed, since a transaction must not stay open.
        readers = open_readers(settings, Patience(wait_s=0.0, pause_s=0.0), [route.target])
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
        field_map, read_framed = settings.topics.formats.get(route.target), readers.get(route.target)
        user_of = key_reader(field_map, settings.event_bytes_max, read_framed)
        hop = Hop("rekey", settings.kafka, ends, stop, partial(keyed_by_user, user_of), watch)
        stop.is_running = True
        hop.run(until_end=until_end)
        return DONE

    return run_command("rekey", settings, carry, until_end=until_end)


def keyed_by_user(user_of: UserOf, messages: Sequence[Message]) -> Iterator[Copy]:
    """
    Give each message its user's key.

    One that nobody can be made out of is the worker's to set aside; it goes where it would. One with a header
    whose name is not UTF-8 goes without headers: confluent-kafka cannot give them to us, nor to the worker.

    Raises:
        NotTranslated: a message needs a schema, and the registry that has it is away.
    """
    bare: list[Message] = []
    for message in messages:
        value, headers = message.value(), readable_headers(message)
        try:
            user_id = user_of(value, headers or [])
        except RegistryRefused:
            raise
        except RegistryUnavailable as error:
            raise NotTranslated from error
        kind = "kept_their_key" if user_id is None else "keyed_by_user"
        if headers is None:
            kind = "without_headers"
            bare.append(message)
        key = message.key() if user_id is None else user_id
        yield Copy(message, key, value, headers, kind)
    if bare:
        log(
            "warn",
            "headers.dropped",
            reads=bare[0].topic(),
            partition=bare[0].partition(),
            offset=bare[0].offset(),
            messages=len(bare),
            why="the name of a header is not UTF-8",
        )
