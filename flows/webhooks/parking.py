"""This file writes changes that were given up to their topic, and hears of each whether it arrived."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from flows.log import log
from flows.webhooks.lanes import Delivery
from flows.webhooks.parked import headers_for, key_of

SETTINGS: dict[str, Any] = {
    "linger.ms": 5,
    "enable.idempotence": True,
    "delivery.timeout.ms": 60_000,
    "log_level": 3,  # Else it warns of every setting meant for consumers.
}
FLUSH_S = 5.0


class Parking:
    """
    Park deliveries; what fails is written again until it is there. Not thread-safe.

    A user's changes stay in order: they go to one partition, which has the number of the one they came from.

    Args:
        on_parked: told of each delivery that is in the topic, with the reason, while poll() runs.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        endpoint: str,
        on_parked: Callable[[Delivery, str], None],
    ) -> None:
        self._producer = Producer({**kafka, **SETTINGS}, logger=logging.getLogger("tierwise.producer"))
        self._topic = topic
        self._endpoint = endpoint
        self._on_parked = on_parked
        self._again: deque[tuple[Delivery, str, int]] = deque()
        self._open = 0

    def __len__(self) -> int:
        """Count what is on its way."""
        return self._open + len(self._again)

    def park(self, delivery: Delivery, reason: str, now_ms: int) -> None:
        """Write a delivery with the reason why it was given up."""
        self._again.append((delivery, reason, now_ms))

    def poll(self) -> None:
        """Hand over what is to be written, and hear of what is."""
        while self._again and self._produce(*self._again[0]):
            self._again.popleft()
        self._producer.poll(0)

    def finish(self) -> None:
        """Give what is on its way some time; what does not arrive is read, and given up, again."""
        self.poll()
        self._producer.flush(FLUSH_S)

    def _produce(self, delivery: Delivery, reason: str, now_ms: int) -> bool:
        change = delivery.change
        try:
            self._producer.produce(
                self._topic,
                key=key_of(self._endpoint, change.id),
                value=change.body,
                partition=change.partition,
                headers=headers_for(delivery, self._endpoint, reason, now_ms),
                on_delivery=partial(self._note, delivery, reason, now_ms),
            )
        except (BufferError, KafkaException):  # No room yet, or no broker.
            return False
        self._open += 1
        return True

    def _note(self, delivery: Delivery, reason: str, now_ms: int, error: KafkaError | None, _: Any) -> None:
        self._open -= 1
        if error is None:
            self._on_parked(delivery, reason)
            return
        log("warn", "parking.failed", endpoint=self._endpoint, topic=self._topic, error=error.str())
        self._again.append((delivery, reason, now_ms))
