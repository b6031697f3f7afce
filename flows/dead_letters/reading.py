"""This file reads the dead-letter topic beside the workers: it joins no group and commits nothing."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from config.settings import Settings
from flows.connection import FIRST_TIMEOUT_S, Heard
from flows.dead_letters.letter import Letter, Place
from flows.membership import open_consumer

REQUEST_TIMEOUT_S = 10.0
SILENCE_MAX_S = 30.0
READ_COUNT = 500
"""Messages of one read: with 64 KiB each that is 32 MB."""
READ_WAIT_S = 0.2
CLOCK_MARGIN_MS = 3_600_000
"""How far the clocks of workers and brokers may be apart before `since` would miss something."""
HEALED_BY_ITSELF = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)


class LettersUnreadable(Exception):
    """Say why the dead-letter topic cannot be read."""


class LetterReader:
    """
    Read dead letters.

    The consumer is assigned by hand: it has the workers' group, for which it may need the right to read, but
    is no member of it.

    Args:
        topic: another one than that of dead letters, and the setting that names it.
    """

    def __init__(self, settings: Settings, topic: tuple[str, str] | None = None) -> None:
        self._topic, self._setting = topic or (settings.topics.dead_letters, "topics.dead_letters")
        self._servers = settings.kafka.get("bootstrap.servers")
        self._heard = Heard()
        self._consumer = open_consumer(settings.kafka, settings.group, self._heard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partition_counts(self) -> dict[str, int]:
        """Answer how many partitions each topic of the broker has."""
        metadata: Any = self._asked(self._metadata)
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if not topic.error}

    def all(self, since_ms: int | None = None) -> Iterator[Letter]:
        """Read to the end of every partition, from the beginning or those set aside since a time."""
        for letter in self.read(self._starts(since_ms)):
            if since_ms is None or letter.failed_at_ms >= since_ms:
                yield letter

    def read(self, starts: Mapping[int, int]) -> Iterator[Letter]:
        """Read partitions from these offsets to their ends; in each the order is that of the topic."""
        self._consumer.assign([TopicPartition(self._topic, one, offset) for one, offset in starts.items()])
        ended: set[int] = set()
        heard_s = time.monotonic()
        while len(ended) < len(starts):
            messages = self._consumer.consume(READ_COUNT, READ_WAIT_S)
            if messages:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENCE_MAX_S:
                raise LettersUnreadable(f"kafka: {self._servers} gave no answer for {SILENCE_MAX_S:.0f} s")
            for message in messages:
                if message.error() is not None:
                    ended |= self._ended(message)
                elif message.partition() not in ended:  # Else it came after we looked.
                    yield Letter.of(message)

    def letter_at(self, place: Place) -> Letter | None:
        """Read one dead letter; None when there is none at that place."""
        if place.partition >= self._partitions():
            return None
        spot = TopicPartition(self._topic, place.partition)
        low, high = self._asked(lambda: self._consumer.get_watermark_offsets(spot, REQUEST_TIMEOUT_S))
        if place.offset < low:
            return None
        # Never beyond the end: not every broker answers there.
        for letter in self.read({place.partition: min(place.offset, high)}):
            if letter.place.offset >= place.offset:
                return letter if letter.place == place else None
        return None

    def _starts(self, since_ms: int | None) -> dict[int, int]:
        partitions = range(self._partitions())
        if since_ms is None:
            return dict.fromkeys(partitions, OFFSET_BEGINNING)
        from_ms = max(0, since_ms - CLOCK_MARGIN_MS)
        wanted = [TopicPartition(self._topic, partition, from_ms) for partition in partitions]
        found: Any = self._asked(lambda: self._consumer.offsets_for_times(wanted, REQUEST_TIMEOUT_S))
        return {one.partition: one.offset for one in found}

    def _metadata(self) -> Any:
        try:
            return self._consumer.list_topics(timeout=FIRST_TIMEOUT_S)
        except KafkaException:
            self._consumer.poll(0)  # Serves what was heard meanwhile.
            if self._heard.refusal:
                raise
        return self._consumer.list_topics(timeout=REQUEST_TIMEOUT_S)

    def _partitions(self) -> int:
        count = self.partition_counts().get(self._topic)
        if count is None:
            raise LettersUnreadable(
                f"{self._topic}: no such topic at {self._servers}; its writer makes it when it starts "
                f"(settings: {self._setting})"
            )
        return count

    def _ended(self, notice: Any) -> set[int]:
        error = notice.error()
        if error.code() == KafkaError._PARTITION_EOF:
            return {notice.partition()}
        if error.fatal() or not (error.retriable() or error.code() in HEALED_BY_ITSELF):
            raise LettersUnreadable(f"{self._topic}: {error.str()}")
        return set()

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except KafkaException as error:
            self._consumer.poll(0)
            raise LettersUnreadable(f"kafka: {self._servers}: {self._heard.why(error)}") from error
