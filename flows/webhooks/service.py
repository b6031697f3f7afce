"""One process that delivers webhooks. This file starts a courier for each endpoint, and ends them together."""

import threading
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaException

from config.settings import Settings
from config.webhook_settings import Endpoint
from flows.clock import SystemClock
from flows.connection import Admin
from flows.log import log, take_over_logging
from flows.measure import program_version
from flows.patience import BrokerUnavailable
from flows.serving import serve_as_set
from flows.stop import StopFlag
from flows.topics import UnfitTopics, create_topics, partition_counts
from flows.webhooks.courier import Courier, Route
from flows.webhooks.metrics import WebhookMetrics
from flows.webhooks.request import Poster
from flows.webhooks.retry_plan import RetryPlan

LIVE_WITHIN_MS = 120_000
LOOK_S = 0.2
DONE, FAILED, UNFIT = 0, 1, 2


def deliver(settings: Settings, endpoints: Sequence[Endpoint]) -> int:
    """Deliver to these endpoints until asked to stop; answer the exit code."""
    take_over_logging()
    stop = StopFlag()
    stop.listen()
    clock = SystemClock()
    metrics = WebhookMetrics(settings.prefix, program_version(), [one.name for one in endpoints])
    couriers: dict[str, Courier] = {}
    server = serve_as_set(
        settings,
        metrics.registry,
        live=lambda: all(clock.monotonic_ms() - one.beat_ms < LIVE_WITHIN_MS for one in couriers.values()),
        ready=lambda: bool(couriers) and all(one.is_ready for one in couriers.values()),
    )
    if server is None:
        return FAILED
    try:
        prepare_topics(settings)
        plan = RetryPlan(settings.webhooks.retry_plan_ms)
        for endpoint in endpoints:
            route = Route(settings.topics.changes, settings.webhooks.parked, group_of(settings, endpoint))
            poster = Poster(endpoint, agent())
            couriers[endpoint.name] = Courier(
                endpoint, settings.kafka, route, plan, settings.webhooks.pending_max, metrics, clock, poster
            )
        log(
            "info",
            "webhooks.started",
            reads=settings.topics.changes,
            endpoints=list(couriers),
            parks=settings.webhooks.parked,
            attempts=len(plan.delays_ms),
        )
        stop.is_running = True
        return _run(couriers, stop)
    except UnfitTopics as error:
        log("error", "topics.refused", error=error)
        return UNFIT
    except (BrokerUnavailable, KafkaException) as error:
        log("error", "webhooks.failed", error=error)
        return FAILED
    finally:
        server.close()


def group_of(settings: Settings, endpoint: Endpoint) -> str:
    """Name the consumer group of an endpoint: its own, so that no other one holds it up."""
    return f"{settings.group}.webhooks.{endpoint.name}"


def agent() -> str:
    """Say who sends."""
    return f"tierwise/{program_version()}"


def prepare_topics(settings: Settings) -> None:
    """Look for the change topic; make the topic of parked changes where there is none."""
    admin = Admin(settings.kafka)
    counts = partition_counts(admin)
    changes, parked = settings.topics.changes, settings.webhooks.parked
    if changes not in counts:
        servers = settings.kafka.get("bootstrap.servers")
        raise UnfitTopics(
            f"topics.changes: {changes} not found at {servers}; a worker makes it when it starts"
        )
    if parked not in counts:
        create_topics(admin, [parked], counts[changes])
    elif counts[parked] < counts[changes]:
        raise UnfitTopics(
            f"webhooks.parked: {parked} has {counts[parked]} partitions, fewer than the {counts[changes]} of "
            f"{changes}; add some, or name another topic"
        )


def _run(couriers: Mapping[str, Courier], stop: StopFlag) -> int:
    failed = threading.Event()

    def run(name: str, courier: Courier) -> None:
        try:
            courier.run(stop)
        except Exception as error:
            log("error", "courier.failed", endpoint=name, error=f"{type(error).__name__}: {error}")
            failed.set()
            stop.is_set = True  # A supervisor starts all of them again.

    threads = [
        threading.Thread(target=run, args=pair, name=f"courier-{pair[0]}", daemon=True)
        for pair in couriers.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # Not for ever in one call, or signals would not be heard.
            thread.join(LOOK_S)
    log("info", "webhooks.stopped", endpoints=list(couriers))
    return FAILED if failed.is_set() else DONE
