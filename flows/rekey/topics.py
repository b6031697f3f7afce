"""The two ends of a copy. This file checks that the topics fit, and makes the target when it is not there."""

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from config.settings import Topics
from flows.connection import Admin
from flows.hop.topic import bytes_max, config_of, counts_with, create_target, offsets_of
from flows.log import log
from flows.topics import UnfitTopics, partition_counts

NEW_TARGET = {
    # A copy bears the timestamp of its original: `from_the_future` is judged by it.
    "message.timestamp.type": "CreateTime",
    # Compaction would leave each user the newest event alone.
    "cleanup.policy": "delete",
}
KEPT_FROM_SOURCE = (
    *("retention.ms", "max.message.bytes"),
    *("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"),
)
"""So that the copy takes each message that the source took, and holds it as long."""


@dataclass(frozen=True, slots=True)
class Route:
    """Say what is copied where; without a number of partitions the other input topics decide it."""

    source: str
    target: str
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Say what the target is like; `bytes_max` is how large a batch of messages it takes."""

    partitions: int
    bytes_max: int


def check_route(route: Route, topics: Topics) -> None:
    """Refuse a route that harms the worker; contacts nobody."""
    if route.source == route.target:
        raise UnfitTopics(f"--to: must be another topic than --from, got {route.target} for both")
    if route.target in (topics.changes, topics.dead_letters):
        raise UnfitTopics(f"--to: the worker itself writes to {route.target}; name another topic")
    if route.target not in topics.input:
        log("warn", "target.unread", topic=route.target, remedy="name it in topics.input before tierwise run")
    elif route.source in topics.input:
        raise UnfitTopics(
            f"topics.input: the worker would read both {route.source} and its copy {route.target}; "
            f"leave {route.source} out"
        )


def prepare_target(kafka: Mapping[str, str], route: Route, topics: Topics, group: str) -> Target:
    """
    Answer what the target is like, made if it is not there.

    Refuses a target that the worker could not read beside the other topics, or that would stay incomplete.
    """
    admin = Admin(kafka)
    counts = partition_counts(admin)
    if route.source not in counts:
        raise UnfitTopics(f"--from: {route.source} not found at {kafka.get('bootstrap.servers')}")
    wanted = _wanted_count(route, topics, counts)
    if route.target not in counts:
        _refuse_used_group(admin, route, group)
        config = {**_kept_from(admin, route.source), **NEW_TARGET}
        create_target(admin, route.target, wanted or counts[route.source], config)
        counts = counts_with(admin, route.target)
    found = counts[route.target]
    if wanted not in (None, found):
        asked_by = "--partitions says" if route.partitions else "the other input topics have"
        raise UnfitTopics(
            f"--to: {route.target} exists with {found} partitions, but {asked_by} {wanted}; "
            "name a topic that does not exist yet, and it will be made with that number"
        )
    config = config_of(admin, route.target)
    _check_config(config, route.target)
    return Target(found, bytes_max(config))


def _wanted_count(route: Route, topics: Topics, counts: Mapping[str, int]) -> int | None:
    """Answer the number that was asked for, else the one that the other input topics share, if there are any."""
    if route.partitions is not None:
        return route.partitions
    others = {
        topic: counts[topic]
        for topic in topics.input
        if topic in counts and topic not in (route.source, route.target)
    }
    if len(set(others.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in others.items())
        raise UnfitTopics(
            f"topics.input: {listed}; say --partitions N, and copy all of them into that number"
        )
    return next(iter(others.values()), None)


def _refuse_used_group(admin: AdminClient, route: Route, group: str) -> None:
    """Refuse to go on in the middle of the source where the target has nothing yet."""
    if any(one.topic == route.source and one.offset > 0 for one in offsets_of(admin, group)):
        raise UnfitTopics(
            f"--to: {route.target} does not exist, but the group {group} has copied a part of {route.source} "
            "already; say --group NEW_GROUP to copy it from its beginning"
        )


def _kept_from(admin: AdminClient, source: str) -> dict[str, str]:
    """Answer what of the source's own settings the copy needs, so that it holds as much for as long."""
    config = config_of(admin, source)
    kept = {name: config[name] for name in KEPT_FROM_SOURCE if name in config}
    if config.get("cleanup.policy") == "compact":  # What is compacted is never deleted for its age.
        kept["retention.ms"] = "-1"
    return kept


def _check_config(config: Mapping[str, str], target: str) -> None:
    if "compact" in config.get("cleanup.policy", ""):
        raise UnfitTopics(
            f"--to: {target} is compacted, which would leave each user the newest event alone; "
            "set its cleanup.policy to delete"
        )
    if config.get("message.timestamp.type") == "LogAppendTime":
        remedy = "set its message.timestamp.type to CreateTime, or from_the_future is judged by the time of copying"
        log("warn", "target.restamps", topic=target, remedy=remedy)
