"""
Whether the input topics still are what the stored offsets are of. This file looks, at every assignment and
from time to time: Kafka itself goes on reading in silence after a topic was deleted and made anew.
"""

from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaException

from flows.clock import Clock
from flows.patience import patiently
from flows.progress import Progress
from flows.start_offsets import place, refuse_changed, refuse_missing, refuse_unlike
from flows.topic_look import Answer, Facts, TopicLook
from sinks.claim import Claim

LOOK_MS = 5_000
WAIT_S = 120.0
"""How long an assignment waits for a broker that ended after it had been made."""


class TopicGuard:
    """
    Let reading go on only where nothing is lost or mixed up in silence.

    Args:
        on_gap: what to do where Kafka has deleted what was not read yet: a word of GAP_POLICIES.
    """

    def __init__(
        self, look: TopicLook, topics: Sequence[str], on_gap: str, progress: Progress, clock: Clock
    ) -> None:
        self._look = look
        self._topics = tuple(topics)
        self._on_gap = on_gap
        self._progress = progress
        self._clock = clock
        self._facts: Facts = {}
        self._first_offsets: dict[tuple[str, int], int] = {}
        self._asked: Answer | None = None
        self._absent: set[str] = set()
        self._next_ms = 0

    def look(self, partitions: Iterable[int]) -> None:
        """
        Look at the topics before these partitions are claimed.

        Raises:
            ReadingRefused: no shard can be read from topics like these.
            BrokerUnavailable: nobody answered for as long as an assignment waits.
        """
        beat, wanted = self._progress.beat, tuple(partitions)
        self._asked = None  # What is on its way may be older.
        self._facts = patiently(lambda: self._look.ask().take(), WAIT_S, beat)
        refuse_unlike(self._facts, self._topics)
        self._first_offsets = patiently(lambda: self._look.first_offsets(wanted), WAIT_S, beat)

    def place(self, claim: Claim) -> None:
        """Make a claim on one of these partitions say where reading goes on; ReadingRefused where it cannot."""
        place(claim, self._facts, self._first_offsets, self._on_gap)

    def watch(self) -> None:
        """Look again, without waiting for the answer; ReadingRefused when the topics are others by now."""
        if self._asked is None:
            if self._facts and self._clock.monotonic_ms() >= self._next_ms:
                self._asked = self._look.ask()
        elif self._asked.is_there():
            self._next_ms = self._clock.monotonic_ms() + LOOK_MS
            asked, self._asked = self._asked, None
            self._compare(asked)

    def _compare(self, answer: Answer) -> None:
        try:
            found = answer.take()
        except KafkaException:
            return  # Reading heals by itself when the broker comes back.
        absent = self._facts.keys() - found.keys()
        # Once may be a broker that has just started and does not know all yet.
        refuse_missing(sorted(absent & self._absent))
        self._absent = absent
        for topic in self._facts.keys() & found.keys():
            before = self._facts[topic]
            topic_ids = {topic: before.topic_id} if before.topic_id else {}
            refuse_changed(before.partitions, topic_ids, {topic: found[topic]})
