"""
This file runs `tierwise profiles`: after each change of a user it writes the user's newest profile to a topic.

It follows the change topic and reads the store, so the worker knows nothing of it and pays nothing for it.
"""

from collections.abc import Sequence

from confluent_kafka import Message
from redis.exceptions import RedisError

from config.settings import Settings
from flows.connection import Admin
from flows.hop.hop import Ends, Hop, NotTranslated
from flows.hop.running import DONE, FAILED, run_command
from flows.hop.target import Copy
from flows.hop.topic import bytes_max, config_of, counts_with, create_target, offsets_of
from flows.hop.watch import HopWatch
from flows.log import log
from flows.profiles.fill import fill
from flows.stop import StopFlag
from flows.topics import UnfitTopics, partition_counts
from sinks.profile_reader import ProfileReader
from sinks.profile_topic import message_of

PARTITIONER = "murmur2_random"
NEW_TARGET = {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}


def profiles(settings: Settings, target: str | None, *, from_store: bool, until_end: bool) -> int:
    """
    Follow the changes until asked to stop, or to their present end; answer the exit code.

    Args:
        from_store: begin with all users whom the store knows, however old their last change is.
    """
    source = settings.topics.changes
    target = target or f"{settings.prefix}.profiles"
    group = f"{settings.group}.profiles.{target}"

    def carry(stop: StopFlag, watch: HopWatch) -> int:
        with ProfileReader(settings.redis.url, settings.prefix) as reader:
            size = prepare(settings, source, target)
            partitioner = settings.kafka.get("partitioner", PARTITIONER)
            log("info", "profiles.started", reads=source, group=group, writes=target)
            stop.is_running = True
            if from_store and not _fill(settings, target, group, partitioner, stop):
                return FAILED
            ends = Ends(source, target, group, partitioner, size)
            newest = NewestProfiles(reader)
            hop = Hop("profiles", settings.kafka, ends, stop, newest, watch)
            hop.run(until_end=until_end)
            return DONE

    return run_command("profiles", settings, carry, until_end=until_end)


def prepare(settings: Settings, source: str, target: str) -> int:
    """Make the topic if it is not there; answer how large a batch it takes."""
    topics = settings.topics
    if target in (source, topics.dead_letters, *topics.input):
        raise UnfitTopics(f"--to: {target} is used for something else; name another topic")
    admin = Admin(settings.kafka)
    counts = partition_counts(admin)
    if source not in counts:
        raise UnfitTopics(
            f"topics.changes: {source} not found at {settings.kafka.get('bootstrap.servers')}: "
            "start tierwise run first, which makes it"
        )
    if target not in counts:
        create_target(admin, target, counts[source], NEW_TARGET)
        counts_with(admin, target)
    config = config_of(admin, target)
    if "compact" not in config.get("cleanup.policy", "compact"):
        raise UnfitTopics(
            f"--to: {target} is not compacted, so that profiles would be deleted for their age; "
            "set its cleanup.policy to compact"
        )
    return bytes_max(config)


def _fill(settings: Settings, target: str, group: str, partitioner: str, stop: StopFlag) -> bool:
    """Write the profiles of everybody, before anybody follows the changes; tell whether all are there."""
    admin, source = Admin(settings.kafka), settings.topics.changes
    if any(one.topic == source and one.offset > 0 for one in offsets_of(admin, group)):
        raise UnfitTopics(
            f"--from-store: the group {group} follows the changes already, and what it has written may be newer than "
            "what would be read now; start without it, or name a new topic with --to"
        )
    counts, first = partition_counts(admin), settings.topics.input[0]
    if first not in counts:
        raise UnfitTopics(f"topics.input: {first} not found, so how many shards there are is not known")
    place = (settings.redis.url, settings.prefix)
    fate = fill(settings.kafka, partitioner, target, place, counts[first], stop)
    if stop.is_set or fate["failed"]:
        log("error", "topic.half_filled", topic=target, action="start once more with --from-store", **fate)
        return False
    log("info", "topic.filled", topic=target, **fate)
    return True


class NewestProfiles:
    """
    Make, of changes, the profiles of their users as the store has them now: once for each user of a batch.

    The store is at least as new as any change that was published, and whoever lost the partition meanwhile
    cannot commit. So what stands behind in a partition is never older than what stands before.
    """

    def __init__(self, reader: ProfileReader) -> None:
        self._reader = reader

    def __call__(self, changes: Sequence[Message]) -> list[Copy]:
        """Answer one message for each user; without a value for one whom the store does not know any more."""
        last = {key: change for change in changes if (key := change.key()) is not None}
        try:
            answers = self._reader.answers(key.decode() for key in last)
        except RedisError as error:
            raise NotTranslated from error
        copies = []
        for (key, change), answer in zip(last.items(), answers, strict=True):
            if answer.profile is None:
                copies.append(Copy(change, key, None, None, "erased"))
            else:
                copies.append(Copy(change, key, *message_of(answer.profile), "profiles"))
        return copies
