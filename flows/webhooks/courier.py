"""One endpoint's deliveries. This file reads its changes, sends what is due, and settles what has a fate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.webhook_settings import Endpoint
from flows.clock import Clock
from flows.log import log
from flows.stop import StopFlag
from flows.webhooks.change import Change, is_wanted, read_change
from flows.webhooks.lanes import Delivery, Lanes
from flows.webhooks.ledger import Ledger
from flows.webhooks.metrics import WebhookMetrics
from flows.webhooks.notes import Tried
from flows.webhooks.parked import CROWDED_OUT, DEAD, GONE, PLAN_USED_UP
from flows.webhooks.parking import Parking
from flows.webhooks.reader import ChangeReader
from flows.webhooks.request import GONE as GONE_STATUS
from flows.webhooks.request import Answer, Poster
from flows.webhooks.retry_plan import HELD_STATUSES, RetryPlan
from flows.webhooks.senders import Senders

READ_COUNT = 500
BUSY_S = 0.02
IDLE_S = 0.1
COMMIT_MS = 1_000
BURST_MS = 100
"""A loop that was late may catch up with so much of its rate at once."""
DOWN_AFTER = 3
"""So many failures in a row, and an endpoint counts as down until its next success."""
PROBE_MS, PROBE_FACTOR = 60_000, 12
"""How often an endpoint is tried out of turn while too much waits for it; less where the plan's first delay is less."""
HAND_OVER_MS = 5_000


@dataclass(frozen=True, slots=True)
class Route:
    """Say which topics and group the deliveries of an endpoint use."""

    changes: str
    parked: str
    group: str


class Courier:
    """
    Deliver to one endpoint until asked to stop; runs on a thread of its own.

    Attributes:
        beat_ms: monotonic time at which it last went round.
        is_ready: the group has given it its partitions.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        kafka: Mapping[str, Any],
        route: Route,
        plan: RetryPlan,
        pending_max: int,
        metrics: WebhookMetrics,
        clock: Clock,
        poster: Poster,
    ) -> None:
        self._endpoint = endpoint
        self._plan = plan
        self._pending_max = pending_max
        self._metrics = metrics
        self._clock = clock
        self._ledger = Ledger()
        self._lanes = Lanes()
        self._senders = Senders(
            poster, endpoint.concurrency, endpoint.name, metrics.attempt_seconds.labels(endpoint.name).observe
        )
        self._parking = Parking(kafka, route.parked, endpoint.name, self._note_parked)
        self._reader = ChangeReader(
            kafka,
            route.changes,
            route.group,
            self._ledger,
            starts_at_end=endpoint.starts_at_end,
            on_revoked=self._finish,
            on_dropped=self._lanes.drop,
            on_gap=metrics.lost.labels(endpoint.name).inc,
        )
        self._disabled = ""
        self._is_full = False
        self._reserve = 0
        self._probe_ms = min(PROBE_MS, PROBE_FACTOR * plan.delays_ms[min(1, len(plan.delays_ms) - 1)])
        self._failures_in_a_row = 0
        self._last_success_ms = 0
        self._last_try_ms = 0
        self._next_slot_ms = 0.0
        self._held_until_ms = 0.0
        self._next_commit_ms = 0
        self.beat_ms = clock.monotonic_ms()

    @property
    def is_ready(self) -> bool:
        """Tell whether it has its partitions."""
        return self._reader.is_assigned

    def run(self, stop: StopFlag) -> None:
        """Deliver until asked to stop, then finish what is on its way."""
        try:
            self._reader.join()
            while not stop.is_set:
                self._turn()
            self._finish(self._endpoint.timeout_ms + HAND_OVER_MS)
            self._reader.commit(wait=True)
        finally:
            self._senders.end()
            self._reader.leave()

    def _turn(self) -> None:
        self.beat_ms = self._clock.monotonic_ms()
        self._take_in()
        self._collect(BUSY_S)
        self._send()
        self._parking.poll()
        if self.beat_ms >= self._next_commit_ms:
            self._next_commit_ms = self.beat_ms + COMMIT_MS
            self._reader.commit(wait=False)
            self._measure()

    def _take_in(self) -> None:
        self._make_room()
        messages = self._reader.read(min(max(self._room(), 1), READ_COUNT), self._idle_s())
        for message in messages:
            self._take_in_one(message)

    def _take_in_one(self, message: Any) -> None:
        partition, offset = message.partition(), message.offset()
        delivery = None
        if not self._ledger.is_settled(partition, offset):
            change = read_change(message)
            if change is not None and is_wanted(change, self._endpoint):
                delivery = self._delivery(change, self._ledger.tried(partition, offset))
            else:
                self._metrics.filtered.labels(self._endpoint.name).inc()
        self._ledger.read(partition, offset, delivery)
        if delivery is not None:
            self._lanes.add(delivery)

    def _delivery(self, change: Change, tried: Tried | None) -> Delivery:
        """Begin a delivery, or go on where it was before a restart."""
        if tried is not None:
            return Delivery(change, tried.planned_ms, tried.attempts, tried.first_try_ms)
        return Delivery(change, self._clock.wall_ms() + (self._plan.delay_ms(0) or 0))

    def _make_room(self) -> None:
        """Read on only while there is room; what an endpoint refuses must not take the room of all others."""
        half = self._pending_max // 2
        if self._room() <= 0:
            self._is_full = True
        elif len(self._lanes) <= half:
            self._is_full, self._reserve = False, 0
        if self._is_full and not self._disabled and self._lanes.held_up() - len(self._parking) > half:
            if refused := self._lanes.take_refused():
                self._park(refused, CROWDED_OUT)
            elif self._is_time_to_probe() and self._reserve < self._pending_max:
                self._reserve += 1  # Something new may tell whether it takes anything at all.
        self._reader.pause(is_wanted=self._is_full and (not self._reserve or self._room() <= 0))

    def _room(self) -> int:
        return self._pending_max + self._reserve - len(self._lanes)

    def _is_time_to_probe(self) -> bool:
        return self._is_full and self._clock.wall_ms() >= self._last_try_ms + self._probe_ms

    def _idle_s(self) -> float:
        """Answer how long nothing else is to be done than to read."""
        if self._senders.in_flight or (self._disabled and len(self._lanes) > len(self._parking)):
            return 0.0
        if len(self._parking):
            return BUSY_S
        now_ms = self._clock.wall_ms()
        next_ms = max(self._held_until_ms, self._next_slot_ms, self._lanes.next_ms())
        return min(max(next_ms - now_ms, 0.0) / 1000, IDLE_S)

    def _send(self) -> None:
        now_ms = self._clock.wall_ms()
        if self._disabled:
            while delivery := self._lanes.take(float("inf")):
                self._park(delivery, self._disabled)
            return
        while self._senders.has_room and now_ms >= max(self._next_slot_ms, self._held_until_ms):
            delivery = self._lanes.take(now_ms)
            if delivery is None and self._is_time_to_probe():
                delivery = self._lanes.take(float("inf"))
            if delivery is None:
                return
            self._next_slot_ms = max(self._next_slot_ms, now_ms - BURST_MS) + 1000 / self._endpoint.rate
            self._last_try_ms = now_ms
            delivery.first_try_ms = min(delivery.first_try_ms, now_ms)
            self._senders.send(delivery)

    def _collect(self, wait_s: float) -> None:
        for delivery, answer in self._senders.results(wait_s):
            if answer.failure:
                self._note_failure(delivery, answer)
            else:
                self._note_success(delivery)

    def _note_success(self, delivery: Delivery) -> None:
        now_ms = self._clock.wall_ms()
        self._metrics.delivered.labels(self._endpoint.name).inc()
        age_ms = max(0, now_ms - delivery.change.stored_ms)
        self._metrics.delivery_seconds.labels(self._endpoint.name).observe(age_ms / 1000)
        self._last_success_ms = now_ms
        if self._failures_in_a_row >= DOWN_AFTER:
            log("info", "endpoint.recovered", endpoint=self._endpoint.name, pending=len(self._lanes))
            self._lanes.hurry(now_ms)
        self._failures_in_a_row = 0
        self._settle(delivery)

    def _note_failure(self, delivery: Delivery, answer: Answer) -> None:
        now_ms = self._clock.wall_ms()
        self._metrics.failed.labels(self._endpoint.name, answer.failure).inc()
        self._failures_in_a_row += 1
        if self._failures_in_a_row == DOWN_AFTER:
            log("warn", "endpoint.failed", endpoint=self._endpoint.name, error=answer.detail)
        if answer.status in HELD_STATUSES:
            self._held_until_ms = max(self._held_until_ms, now_ms + 1000 * answer.retry_after_s)
        delivery.why = answer.detail
        delivery.is_refused |= self._last_success_ms > delivery.first_try_ms
        if answer.status == GONE_STATUS:
            delivery.attempts += 1
            self._give_up(delivery, GONE)
        elif now_ms >= delivery.planned_ms:
            self._plan_next(delivery, now_ms)
        else:  # Tried out of turn: what is planned stays.
            self._lanes.put_back(delivery)

    def _plan_next(self, delivery: Delivery, now_ms: int) -> None:
        delivery.attempts += 1
        delay_ms = self._plan.delay_ms(delivery.attempts)
        if delay_ms is not None:
            delivery.planned_ms = max(now_ms + delay_ms, self._held_until_ms)
            self._lanes.put_back(delivery)
        elif self._last_success_ms > delivery.first_try_ms:
            self._park(delivery, PLAN_USED_UP)
        else:
            self._give_up(delivery, DEAD)

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        """Disable the endpoint until this process is started again; all that comes for it is parked."""
        if not self._disabled and not delivery.is_void:
            self._disabled = reason
            log(
                "error",
                "endpoint.disabled",
                endpoint=self._endpoint.name,
                reason=reason,
                error=delivery.why,
                remedy="mend it, start again, then tierwise webhooks resend",
            )
        self._park(delivery, PLAN_USED_UP if reason == DEAD else reason)

    def _park(self, delivery: Delivery, reason: str) -> None:
        if not delivery.is_void:
            self._parking.park(delivery, reason, self._clock.wall_ms())

    def _note_parked(self, delivery: Delivery, reason: str) -> None:
        self._metrics.parked.labels(self._endpoint.name, reason).inc()
        self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        if not delivery.is_void:
            self._lanes.settle(delivery)
            self._ledger.settle(delivery.change.partition, delivery.change.offset)

    def _finish(self, limit_ms: int = HAND_OVER_MS) -> None:
        """Finish what is on its way, for a while; the rest is the next owner's."""
        give_up_ms = self._clock.monotonic_ms() + limit_ms
        while self._senders.in_flight and self._clock.monotonic_ms() < give_up_ms:
            self._collect(BUSY_S)
        self._parking.finish()

    def _measure(self) -> None:
        name = self._endpoint.name
        now_ms, oldest_ms = self._clock.wall_ms(), self._lanes.oldest_stored_ms()
        age_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
        if (lag := self._reader.lag()) is not None:
            self._metrics.lag_messages.labels(name).set(lag)
        self._metrics.owned_partitions.labels(name).set(len(self._ledger.partitions))
        self._metrics.pending.labels(name).set(len(self._lanes))
        self._metrics.retrying.labels(name).set(self._lanes.held_up())
        self._metrics.oldest_pending_seconds.labels(name).set(age_ms / 1000)
        self._metrics.held_seconds.labels(name).set(max(0.0, self._held_until_ms - now_ms) / 1000)
        self._metrics.disabled.labels(name).set(bool(self._disabled))
