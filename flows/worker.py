"""One process, one worker. This file starts it, keeps it answerable, and ends it without losing anything."""

import gc

from confluent_kafka import KafkaException

from config.settings import Settings
from flows.clock import SystemClock
from flows.formats.framed.patience import Patience
from flows.formats.framed.reading import open_readers
from flows.formats.framed.unreadable import RegistryUnusable
from flows.log import log, take_over_logging
from flows.measure import Measure, program_version
from flows.patience import BrokerUnavailable
from flows.progress import Progress
from flows.serving import serve_as_set
from flows.stop import StopFlag
from flows.topics import UnfitTopics, check_topics
from scoring.policy import Policy
from sinks.errors import TierwiseError

LIVE_WITHIN_MS = 60_000
DONE, FAILED, UNFIT = 0, 1, 2


def run(settings: Settings, policy: Policy, *, on_offset_gap: str, accept_dead_letters: bool) -> int:
    """
    Score what the consumer group gives this process until asked to stop; answer the exit code.

    Args:
        on_offset_gap: what to do where Kafka has deleted what was not read yet: a word of GAP_POLICIES.
        accept_dead_letters: whatever `dead_letter_limit` says, stop no partition for its dead letters.
    """
    take_over_logging()
    if accept_dead_letters:
        limit = "on, not held for this run" if settings.dead_letter_limit else "off"
        log("warn", "dead_letters.accepted", dead_letter_limit=limit)
    stop = StopFlag()
    stop.listen()
    clock = SystemClock()
    progress = Progress(clock)
    measure = Measure(policy, settings.prefix, progress, clock)
    server = serve_as_set(
        settings,
        measure.registry,
        live=lambda: progress.silent_ms() < LIVE_WITHIN_MS,
        ready=progress.is_ready,
    )
    if server is None:
        return FAILED
    http = f"{settings.http.host}:{settings.http.port}"
    log(
        "info",
        "worker.started",
        version=program_version(),
        policy=f"{policy.name}@{policy.version}",
        http=http,
    )
    try:
        patience = Patience(beat=progress.beat, is_stopped=lambda: stop.is_set)
        readers = open_readers(settings, patience, settings.topics.input)
        outputs = (settings.topics.changes, settings.topics.dead_letters)
        check_topics(settings.kafka, settings.topics.input, outputs)
        checked_ms = clock.monotonic_ms()
        # Compiles the kernels, which the health endpoints must not wait for.
        from flows.assembly import assemble, kernel_cache

        kernels_ms = clock.monotonic_ms()
        assembly = assemble(
            settings,
            policy,
            progress,
            clock,
            stop,
            measure,
            readers,
            on_offset_gap=on_offset_gap,
            accept_dead_letters=accept_dead_letters,
        )
        # What lives as long as the worker is no garbage, and batches make lists that are never part of a cycle:
        # with the default thresholds a fifth of the time went into looking.
        gc.freeze()
        gc.set_threshold(200_000, 50, 100)
        stop.is_running = True
        log(
            "info",
            "stages.assembled",
            kernels_ms=kernels_ms - checked_ms,
            stages_ms=clock.monotonic_ms() - kernels_ms,
            kernel_cache=kernel_cache(),
        )
        return DONE if assembly.run() else FAILED
    except RegistryUnusable as error:
        log("error", "registry.refused", error=error)
        return UNFIT
    except UnfitTopics as error:
        log("error", "topics.refused", error=error)
        return UNFIT
    except (BrokerUnavailable, TierwiseError, KafkaException) as error:
        log("error", "worker.failed", error=error)
        return FAILED
    finally:
        server.close()
