"""This file sends parked changes once more, a try for each, and takes those off the topic that arrived."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

from config.webhook_settings import Endpoint
from flows.dead_letters.letter import Letter, Place
from flows.webhooks.change import Change
from flows.webhooks.lanes import Delivery, Lanes
from flows.webhooks.parking import SETTINGS
from flows.webhooks.request import Poster
from flows.webhooks.senders import Senders

SENT = "sent"
PENDING_MAX = 200
WAIT_S = 0.05
FLUSH_S = 90.0
DOWN_AFTER = 20
"""So many failures in a row, and the rest of an endpoint is left parked without a try."""


class Resender:
    """
    Send to one endpoint; a user's changes in order, and none behind one that is refused.

    Attributes:
        outcome: how many were sent, and what became of the others.
    """

    def __init__(self, endpoint: Endpoint, agent: str, producer: Producer, topic: str) -> None:
        self._endpoint = endpoint
        self._senders = Senders(Poster(endpoint, agent), endpoint.concurrency, endpoint.name)
        self._lanes = Lanes()
        self._producer = producer
        self._topic = topic
        self._keys: dict[Place, bytes] = {}
        self._held_users: set[str] = set()
        self._failures_in_a_row = 0
        self._next_slot_s = 0.0
        self.outcome: Counter[str] = Counter()

    def add(self, letter: Letter) -> None:
        """Send one more; waits while too many wait already."""
        change = _change_of(letter)
        self._keys[letter.place] = letter.key or b""
        self._lanes.add(Delivery(change, 0))
        while len(self._lanes) >= PENDING_MAX:
            self._step()

    def finish(self) -> None:
        """Send what waits."""
        while len(self._lanes):
            self._step()
        self._senders.end()

    def _step(self) -> None:
        while self._senders.has_room and (delivery := self._lanes.take(0)):
            if self._failures_in_a_row >= DOWN_AFTER:
                self._leave(delivery, "endpoint fails")
            elif delivery.change.user_id in self._held_users:
                self._leave(delivery, "behind one that failed")
            else:
                time.sleep(max(0.0, self._next_slot_s - time.monotonic()))
                self._next_slot_s = time.monotonic() + 1 / self._endpoint.rate
                self._senders.send(delivery)
        for delivery, answer in self._senders.results(WAIT_S):
            if answer.failure:
                self._failures_in_a_row += 1
                self._held_users.add(delivery.change.user_id)
                self._leave(delivery, answer.detail)
            else:
                self._failures_in_a_row = 0
                self._note_sent(delivery)

    def _note_sent(self, delivery: Delivery) -> None:
        change = delivery.change
        key = self._keys.pop(Place(change.partition, change.offset))
        self._producer.produce(self._topic, key=key, value=None, partition=change.partition)
        self._producer.poll(0)
        self.outcome[SENT] += 1
        self._lanes.settle(delivery)

    def _leave(self, delivery: Delivery, why: str) -> None:
        self._keys.pop(Place(delivery.change.partition, delivery.change.offset))
        self.outcome[why] += 1
        self._lanes.settle(delivery)


def open_producer(kafka: Mapping[str, Any]) -> Producer:
    """Open what says on the topic that a change was sent."""
    return Producer({**kafka, **SETTINGS}, logger=logging.getLogger("tierwise.producer"))


def _change_of(letter: Letter) -> Change:
    return Change(
        id=letter.text("webhook_id") or "",
        user_id=letter.text("user_id") or "",
        seq=0,
        ladder="",
        direction="",
        cause="",
        body=letter.value,
        partition=letter.place.partition,
        offset=letter.place.offset,
        stored_ms=letter.stored_ms,
    )
