"""
From settings to a running flow. This file makes the stages and what they share.

Importing it compiles the kernels (or loads them from their cache), which can take a minute: the worker does
that after its health endpoints are up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numba
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from config.format_check import unscored_types
from config.policy_file import policy_to_document
from config.redis_rules import redacted_url
from config.settings import Settings
from flows.clock import Clock
from flows.commit import Commit, Stamp
from flows.dead_letter_limit import DeadLetterLimit
from flows.decode import Decode
from flows.emit import Emit
from flows.formats.batch import Converts
from flows.formats.conversion import Converter
from flows.formats.framed.conversion import FramedConverter
from flows.formats.framed.reading import Read
from flows.intake import open_intake
from flows.load import ShardLoader
from flows.log import log
from flows.measure import Measure
from flows.membership import Membership, open_consumer
from flows.pipeline import build, guarded
from flows.progress import Progress
from flows.score import Score
from flows.source import Reader, Source
from flows.stop import StopFlag
from flows.topic_guard import TopicGuard
from flows.topic_look import TopicLook
from flows.writer import Write, Writer
from scoring.decoder import Decoder
from scoring.policy import Policy
from sinks.change_encoder import ChangeEncoder
from sinks.erasure import EraseEncoder
from sinks.outbox import Kind
from sinks.output_tail import OutputTail
from sinks.profile_encoder import ProfileEncoder
from sinks.relay import Relay
from sinks.shard_store import ShardStore

FLUSH_S = 5.0


@dataclass(frozen=True)
class Assembly:
    """The dataflow of one worker, and what must be closed behind it."""

    flow: Dataflow
    store: ShardStore
    relay: Relay
    reader: Reader
    commit: Commit
    emit: Emit
    writer: Writer
    progress: Progress

    def run(self) -> bool:
        """Run until the source ends and leave nothing in hand; False when a stage failed."""
        self.writer.start()
        try:
            cli_main(self.flow)
            self.writer.end()
            if self.progress.failure is None:
                self._finish()
                log("info", "worker.stopped")
            return self.progress.failure is None
        finally:
            self.writer.end()
            self.relay.close()
            self.reader.leave()
            self.store.close()

    def _finish(self) -> None:
        """Publish what is durable, and take it out of the outbox."""
        if not self.relay.flush(FLUSH_S):
            log("warn", "outbox.left", entries=self.progress.unpublished(), action="next owner publishes")
        self.emit.note()
        for written in self.commit.trim():
            self.emit(written)
        self.reader.report_offsets()


def assemble(
    settings: Settings,
    policy: Policy,
    progress: Progress,
    clock: Clock,
    stop: StopFlag,
    measure: Measure,
    readers: Mapping[str, Read],
    *,
    on_offset_gap: str,
    accept_dead_letters: bool,
) -> Assembly:
    """
    Make every stage of a worker and string them together.

    Args:
        readers: by topic, for those whose messages are framed.
    """
    topics = settings.topics.input
    store = ShardStore(settings.redis.url, settings.prefix, topics)
    outputs: dict[Kind, str] = {
        "change": settings.topics.changes,
        "dead_letter": settings.topics.dead_letters,
    }
    relay = Relay(settings.kafka, outputs, direct=settings.direct_publishing)
    consumer = open_consumer(settings.kafka, settings.group)
    intake = open_intake(consumer, topics, settings.event_bytes_max, direct=_reads_directly(settings))
    loader = ShardLoader(
        policy,
        topics,
        allowed_lateness_ms=settings.allowed_lateness_ms,
        out_of_orderness_ms=settings.watermark.out_of_orderness_ms,
        duplicates_per_user=settings.duplicates_per_user,
    )
    score = Score(
        store,
        loader,
        progress,
        clock,
        measure,
        topic_count=len(topics),
        idle_after_ms=settings.watermark.idle_after_ms,
        out_of_orderness_ms=settings.watermark.out_of_orderness_ms,
    )
    commit = Commit(
        store,
        lambda claim: ProfileEncoder(
            policy,
            settings.prefix,
            claim.partition,
            loader.former(claim),
            restores=claim.restore_refusal is None,
        ),
        ChangeEncoder(policy),
        EraseEncoder(policy, settings.prefix, topics),
        OutputTail(settings.kafka, outputs),
        topics,
        Stamp(policy_to_document(policy), loader.layout),
        progress,
        clock,
        measure,
    )
    emit = Emit(relay, progress, measure)
    writer = Writer(commit, emit, progress)
    guard = TopicGuard(TopicLook(settings.kafka, topics), topics, on_offset_gap, progress, clock)
    scored = guarded(score, progress)
    membership = Membership(
        consumer,
        store,
        topics,
        progress,
        intake.forward,
        guard,
        _announcer(settings),
        writer.settle,
        lambda released: writer.hand_over(scored(list(released))),
    )
    reader = Reader(
        consumer,
        intake,
        membership,
        topics,
        progress,
        clock,
        stop,
        measure,
        writer.settle,
        settings.commit_interval_ms,
    )
    limit = None
    if settings.dead_letter_limit and not accept_dead_letters:
        limit = DeadLetterLimit(topics, progress, measure)
    decoder = Decoder(policy, settings.future_tolerance_ms, settings.event_bytes_max)
    decode = Decode(decoder, limit, _converters(settings, policy, readers))
    flow = build(Source(reader), decode, score, Write(writer), progress)
    membership.subscribe()
    return Assembly(flow, store, relay, reader, commit, emit, writer, progress)


def kernel_cache() -> str:
    """Name the folder that compiled kernels were read from, or written to."""
    return str(numba.config.CACHE_DIR)


def _converters(settings: Settings, policy: Policy, readers: Mapping[str, Read]) -> dict[int, Converts]:
    """Make what reads topics of other formats or encodings; say, once, which of their types are ignored."""
    converters: dict[str, Converter] = {}
    for topic, field_map in settings.topics.formats.items():
        ignored = unscored_types(field_map, policy)
        if ignored:
            log("info", "types.unscored", topic=topic, format=field_map.source, types=ignored)
        converters[topic] = Converter(field_map, policy.currency, settings.event_bytes_max)
    framed = {
        topic: FramedConverter(read, converters.get(topic), settings.event_bytes_max)
        for topic, read in readers.items()
    }
    by_topic: dict[str, Converts] = {**converters, **framed}
    return {settings.topics.input.index(topic): converter for topic, converter in by_topic.items()}


def _reads_directly(settings: Settings) -> bool:
    """Tell whether messages are read without their objects, the only ones who know headers."""
    wanting = [topic for topic, field_map in settings.topics.formats.items() if field_map.reads_headers]
    if settings.direct_reading and wanting:
        log("info", "direct_reading.left", topics=wanting, reason="their format reads headers")
    return settings.direct_reading and not wanting


def _announcer(settings: Settings) -> Callable[[list[int]], None]:
    """Say at every assignment, in one line, what this worker reads, writes and owns."""
    topics = settings.topics
    store = f"{redacted_url(settings.redis.url)} {settings.prefix}:*"

    def announce(partitions: list[int]) -> None:
        log(
            "info",
            "partitions.assigned",
            reads=topics.input,
            group=settings.group,
            writes=(store, topics.changes, topics.dead_letters),
            owns=partitions or "none",
        )

    return announce
