"""Where reading of a shard may go on. This file holds what the store says against what Kafka has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.log import log

if TYPE_CHECKING:
    from flows.topic_look import Facts
    from sinks.claim import Claim

REFUSE, EARLIEST = "refuse", "earliest"
GAP_POLICIES = (REFUSE, EARLIEST)
"""What to do where Kafka has deleted what was not read yet: end, or go on with the first message left."""
OTHER_PREFIX = "start under another prefix, which scores everything that Kafka holds anew"


class ReadingRefused(Exception):
    """Say why reading cannot go on where the store left off, and what to do."""


class OffsetLost(ReadingRefused):
    """Say that Kafka does not have the offset at which to go on."""


class TopicLost(ReadingRefused):
    """Say that a topic is gone, or is another one than that whose offsets are stored."""


class PartitionsChanged(ReadingRefused):
    """Say that the topics no longer have the partitions by which users were parted into shards."""


def deleted_unread(topic: str, partition: int, offset: int, first: int) -> OffsetLost:
    """Word that messages were deleted which nobody has scored; Kafka's first one is at `first`."""
    return OffsetLost(
        f"{topic} partition {partition}: reading is to go on at offset {offset}, but Kafka begins at {first}: "
        f"{first - offset} offsets were deleted unread; make its retention outlast any pause of the worker, then "
        "start with --on-offset-gap=earliest to go on without them"
    )


def scored_and_lost(topic: str, partition: int, offset: int, end: int) -> OffsetLost:
    """Word that Kafka has lost what was scored already: its next message gets the offset `end`."""
    return OffsetLost(
        f"{topic} partition {partition}: reading is to go on at offset {offset}, but Kafka ends at {end}: it has "
        f"lost what was scored already; restore the topic, or {OTHER_PREFIX}"
    )


def refuse_missing(topics: Sequence[str]) -> None:
    """Refuse these topics, if there are any, for not being there."""
    if topics:
        raise TopicLost(
            f"{', '.join(topics)}: Kafka has no such topic any more; restore it, or {OTHER_PREFIX}"
        )


def refuse_unlike(facts: Facts, topics: Iterable[str]) -> None:
    """Refuse topics that are gone, or no longer of one number of partitions."""
    refuse_missing([topic for topic in topics if topic not in facts])
    if len({one.partitions for one in facts.values()}) > 1:
        listed = ", ".join(f"{topic} has {one.partitions}" for topic, one in facts.items())
        raise PartitionsChanged(
            f"topics.input: all must have the same number of partitions, but {listed}; {_REKEY}"
        )


def refuse_changed(partitions: int | None, topic_ids: Mapping[str, str], facts: Facts) -> None:
    """Refuse topics that are not, or not shaped, as they were when offsets were stored."""
    for topic, one in facts.items():
        before = topic_ids.get(topic)
        if None not in (before, one.topic_id) and before != one.topic_id:
            raise TopicLost(
                f"{topic}: was deleted and made anew (its id is {one.topic_id}, the stored offsets are of {before}): "
                f"they mean nothing here, and every row holds some; {OTHER_PREFIX}"
            )
        if partitions not in (None, one.partitions):
            raise PartitionsChanged(
                f"{topic}: has {one.partitions} partitions, had {partitions} when its users were scored: users' "
                f"events now come from two partitions; {_REKEY}, and {OTHER_PREFIX}"
            )


def place(claim: Claim, facts: Facts, first_offsets: Mapping[tuple[str, int], int], on_gap: str) -> None:
    """
    Make the claim say where reading goes on, and of which topics these offsets are.

    A topic of which nothing is stored starts at the first message that Kafka holds.

    Raises:
        ReadingRefused: reading on would lose events or mix them up in silence.
    """
    refuse_changed(claim.partitions, claim.topic_ids, facts)
    for topic in facts:
        first = first_offsets[topic, claim.partition]
        offset = claim.offsets.setdefault(topic, first)
        if offset < first:
            if on_gap != EARLIEST:
                raise deleted_unread(topic, claim.partition, offset, first)
            log(
                "warn",
                "offsets.skipped",
                topic=topic,
                partition=claim.partition,
                stored=offset,
                first=first,
                count=first - offset,
            )
            claim.offsets[topic] = first
    claim.partitions = next(one.partitions for one in facts.values())
    claim.topic_ids = {topic: one.topic_id for topic, one in facts.items() if one.topic_id is not None}


_REKEY = 'run "tierwise rekey" to copy the topics into ones of one number of partitions, keyed by user_id'
