"""Send messages to Kafka at a given pace and check that each one arrives. This file holds the producer."""

import threading
import time
from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from flows.dev.generator import Message

BURST_S = 0.02
QUEUE_FULL_WAIT_S = 0.05
FLUSH_DEADLINE_S = 60.0


class LoadFailed(RuntimeError):
    """The broker did not take all messages."""


class Loader:
    """
    Sends an iterator of messages, once.

    Attributes:
        delivered: messages the broker has confirmed so far.
        done: all messages were sent and confirmed.
    """

    def __init__(
        self,
        bootstrap: str,
        messages: Iterable[Message],
        rate: float | None = None,
        topics: Mapping[str, str] = {},
        as_it_happens: bool = False,
        client: Mapping[str, str] = {},
    ) -> None:
        """
        Prepare to send.

        Args:
            rate: messages a second, None for as fast as possible.
            topics: topic names to use instead of those of the messages.
            as_it_happens: send each message at its own `ingest_time_ms`; `rate` is not looked at.
            client: Kafka settings besides ours, such as logins.
        """
        self.delivered = 0
        self.done = False
        self._messages = messages
        self._rate = rate
        self._as_it_happens = as_it_happens
        self._topics = topics
        self._stopped = threading.Event()
        self._first_error: KafkaError | None = None
        # Keys go where the clients of other languages would send them.
        settings = {
            **client,
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
        limits = {"linger.ms": 20, "queue.buffering.max.messages": 50_000, "message.max.bytes": 20_000_000}
        self._producer = Producer({**settings, **limits, "log_level": 0})

    def run(self) -> int:
        """Send all messages and return how many were confirmed; LoadFailed when one was refused."""
        started, clock_behind = time.monotonic(), time.time() - time.monotonic()
        for number, message in enumerate(self._messages):
            if self._stopped.is_set() or self._first_error:
                break
            if self._as_it_happens:
                self._keep_pace(message.ingest_time_ms / 1000 - clock_behind)
            elif self._rate is not None:
                self._keep_pace(started + number / self._rate)
            self._send(message)
            if number % 512 == 0:
                self._producer.poll(0)
        if self._stopped.is_set():
            self._producer.purge()
        left = self._producer.flush(FLUSH_DEADLINE_S)
        if self._stopped.is_set():
            return self.delivered
        if self._first_error or left:
            raise LoadFailed(f"{left} messages unconfirmed, first error: {self._first_error}")
        self.done = True
        return self.delivered

    def stop(self) -> None:
        """Make a run in another thread end soon."""
        self._stopped.set()

    def _keep_pace(self, due: float) -> None:
        ahead = due - time.monotonic()
        if ahead > BURST_S:  # Sleeping before each message would cost more than the messages.
            self._producer.poll(0)
            self._stopped.wait(ahead)

    def _send(self, message: Message) -> None:
        topic = self._topics.get(message.topic, message.topic)
        while True:
            try:
                self._producer.produce(
                    topic,
                    key=message.key,
                    value=message.value,
                    timestamp=message.ingest_time_ms,
                    on_delivery=self._on_delivery,
                )
                return
            except BufferError:
                self._producer.poll(QUEUE_FULL_WAIT_S)
            except KafkaException as refused:
                raise LoadFailed(f"message {message.key!r} for {topic} refused: {refused}") from refused

    def _on_delivery(self, error: KafkaError | None, _message: Delivered) -> None:
        if error is None:
            self.delivered += 1
        elif self._first_error is None:
            self._first_error = error
