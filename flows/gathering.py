"""This file decides how long what a shard has changed waits for more, so that events of a user share a write."""

from dataclasses import dataclass

GATHER_MS = 15_000
CHANGES_MAX = 100_000
"""So many changes do not wait for more: some tens of megabytes."""


@dataclass(slots=True)
class Gathering:
    """
    What was read of one shard's topics since its changes were handed to the writer.

    Attributes:
        read, reached: by topic, whether messages came, and whether its end was reached.
        since_ms: when the first of the messages was read.
        newest_ms: when the broker got the last one.
    """

    read: list[bool]
    reached: list[bool]
    since_ms: int = 0
    newest_ms: int = 0

    @classmethod
    def of(cls, topics: int) -> "Gathering":
        """Begin with nothing read."""
        return cls([False] * topics, [False] * topics)

    def note_read(self, topic: int, newest_ms: int, now_ms: int) -> None:
        """Hear of messages, the last of which the broker got at newest_ms."""
        if not any(self.read):
            self.since_ms = now_ms
        self.read[topic] = True
        self.newest_ms = newest_ms

    def note_end(self, topic: int) -> None:
        """Hear that the end of a topic is reached."""
        self.reached[topic] = True

    def goes_on(self, now_ms: int, wall_ms: int, changes: int) -> bool:
        """
        Tell whether changes may wait: for half of the time that we are behind anyway, far from all ends.

        Args:
            now_ms, wall_ms: of a clock that only goes forward, and of the one that Kafka's times are of.
            changes: how many wait.
        """
        is_behind = any(read and not reached for read, reached in zip(self.read, self.reached, strict=True))
        patience_ms = min(GATHER_MS, (wall_ms - self.newest_ms) // 2)
        return is_behind and changes < CHANGES_MAX and now_ms - self.since_ms < patience_ms
