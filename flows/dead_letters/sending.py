"""This file sends dead letters back to where they had been, and hears of each whether it arrived."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.dead_letters.letter import Letter, Place
from sinks.dead_letters import ATTEMPT

FLUSH_S = 90.0
"""More than a message may take: each is confirmed by then, or has failed."""
SETTINGS = {
    "linger.ms": 5,
    "enable.idempotence": True,
    "delivery.timeout.ms": 60_000,
    "log_level": 3,  # Else it warns of every setting meant for consumers.
}


class LetterSender:
    """
    Send the original key, bytes and headers of the event with a header that says which attempt this is.

    They go to the partition they came from: a shard is a partition, and a key may be missing or of no use.

    Attributes:
        sent: confirmed messages by topic.
        failed: what became of the others, by place.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._producer = Producer({**kafka, **SETTINGS})
        self.sent: Counter[str] = Counter()
        self.failed: dict[Place, str] = {}
        self._open: set[Place] = set()

    def send(self, letter: Letter) -> None:
        """Hand over one dead letter whose source is known; wait while there is no room."""
        source = letter.source
        assert source is not None, letter.place
        while True:
            try:
                self._producer.produce(
                    source.topic,
                    key=letter.key,
                    value=letter.value,
                    partition=source.partition,
                    headers=[*letter.event_headers, (ATTEMPT, str(letter.attempt + 1).encode())],
                    on_delivery=partial(self._settle, letter.place),
                )
            except BufferError:  # Confirmations make room.
                self._producer.poll(0.1)
            except KafkaException as error:
                self.failed[letter.place] = error.args[0].str()
                return
            else:
                self._open.add(letter.place)
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Wait until the fate of everything is known."""
        self._producer.flush(FLUSH_S)
        self.failed |= dict.fromkeys(self._open, "the broker did not say whether it took it")

    def _settle(self, place: Place, error: KafkaError | None, message: Message) -> None:
        self._open.discard(place)
        if error is None:
            self.sent[str(message.topic())] += 1
        else:
            self.failed[place] = error.str()
