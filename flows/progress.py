"""What the later stages have reached. This file holds the one thing that travels back, for the source to see.

It decides only what is read when, and when the process ends; never a result. The writer's thread and the
dataflow's both use it: what one of them goes through is replaced by the other, not changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.clock import Clock
from flows.log import log

WRITING_MAX_MS = 5_000
"""How long reading goes on while the writer is busy with the same commits; then it waits."""


@dataclass(slots=True)
class ShardProgress:
    """
    Say how far one owned shard is.

    Attributes:
        loaded: its rows are in memory.
        waiting: messages per topic that wait for another topic before they can be put in order.
        written: next offset per topic name that the store holds.
        trimmed: the last outbox entry that is gone from the store, None before the first.
        delivered: the last outbox entry up to which everything is published.
        tails: where that ends in the output partitions, see sinks/output_tail.py.
        pending: outbox entries that are durable but not yet published.
    """

    waiting: list[int]
    loaded: bool = False
    written: dict[str, int] = field(default_factory=dict)
    delivered: str | None = None
    trimmed: str | None = None
    tails: dict[str, int] = field(default_factory=dict)
    pending: int = 0


class Progress:
    """Hold what the stages of one worker tell the source."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.shards: dict[int, ShardProgress] = {}
        self.fenced: dict[int, int] = {}
        """Shards that another owner took, with the monotonic time at which we learned it."""
        self.stopped: dict[tuple[int, int], int] = {}
        """Where reading would go on in each (partition, topic) that was stopped for its dead letters."""
        self.rolled_back: set[int] = set()
        """Shards whose store went back in time: to be claimed and loaded anew."""
        self.settled: dict[int, str] = {}
        """Shards that were given back with nothing unwritten, with the token of our last claim."""
        self.is_outbox_full = False
        """Nothing is read, since too much waits to be published."""
        self.assigned = False
        self.failure: Exception | None = None
        self.handed_over = 0
        """Plans that the writer was given so far; those of them that it has begun with, and is done with."""
        self.begun = self.done = 0
        self._last_step_ms = clock.monotonic_ms()
        self._writing_since_ms: int | None = None

    @property
    def is_writing(self) -> bool:
        """Tell whether the writer has something in hand."""
        return self._writing_since_ms is not None

    @property
    def has_waiting_plans(self) -> bool:
        """Tell whether the writer has plans that it has not begun with."""
        return self.begun < self.handed_over

    def writing_ms(self) -> int:
        """Tell for how long the writer has had what it has in hand."""
        since_ms = self._writing_since_ms
        return 0 if since_ms is None else self._clock.monotonic_ms() - since_ms

    @property
    def is_listening(self) -> bool:
        """Tell whether everything is read that there is; otherwise nobody knows whether a topic is silent."""
        return not self.is_outbox_full and self.writing_ms() <= WRITING_MAX_MS

    def hand_over(self, plans: int) -> None:
        """Note that the writer was given something, of which so much are plans."""
        self.handed_over += plans
        if self._writing_since_ms is None:
            self._writing_since_ms = self._clock.monotonic_ms()

    def begin_writing(self) -> None:
        """Note that the writer begins with all that it was given."""
        self.begun = self.handed_over
        self._writing_since_ms = self._clock.monotonic_ms()

    def end_writing(self, *, has_more: bool) -> None:
        """Note that the writer is done with what it has begun."""
        self.done = self.begun
        if not has_more:
            self._writing_since_ms = None

    def beat(self) -> None:
        """Note that the loop is alive."""
        self._last_step_ms = self._clock.monotonic_ms()

    def silent_ms(self) -> int:
        """Tell how long ago the loop last gave a sign of life."""
        return self._clock.monotonic_ms() - self._last_step_ms

    def is_ready(self) -> bool:
        """Tell whether the group has spoken and all that it gave us is loaded."""
        return self.assigned and all(shard.loaded for shard in self.shards.values())

    def claimed(self, partition: int, offsets: Sequence[int | None]) -> None:
        """
        Start the account of a shard that we own from now on.

        Args:
            offsets: where reading goes on in each topic. What we had stopped stays so only there: elsewhere
                somebody has read on, or the store has gone back.
        """
        self.shards[partition] = ShardProgress(waiting=[0] * len(offsets))
        for topic, offset in enumerate(offsets):
            if self.stopped.get((partition, topic)) != offset:
                self.stopped.pop((partition, topic), None)
        self.fenced.pop(partition, None)
        self.rolled_back.discard(partition)

    def released(self, partition: int) -> None:
        """Close the account of a shard that is no longer ours."""
        self.shards.pop(partition, None)
        self.fenced.pop(partition, None)
        self.rolled_back.discard(partition)

    def lost(self, partition: int) -> None:
        """Note that another owner took the shard; nothing is read for it until the group gives it to us."""
        if partition in self.shards:
            # A new dict: the other thread may be going through this one.
            self.shards = {one: shard for one, shard in self.shards.items() if one != partition}
            self.fenced = {**self.fenced, partition: self._clock.monotonic_ms()}

    def unpublished(self) -> int:
        """Count the changes and dead letters that are durable but not yet published."""
        return sum(shard.pending for shard in self.shards.values())

    def fail(self, failure: Exception) -> None:
        """
        Ask the source to end the dataflow because of this error.

        An exception that leaves a step would end the process too, but only through a panic of the engine
        that buries the message under a stack of Rust frames.
        """
        if self.failure is None:
            self.failure = failure
            log("error", "stage.failed", error=f"{type(failure).__name__}: {failure}")
