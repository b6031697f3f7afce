"""This file stops a topic partition whose messages show a broken sender, before it drains into dead letters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flows.log import log
from flows.measure import Measure
from flows.progress import Progress
from scoring.events import EventBatch, Reason
from sinks.claim import Claim

Flags = npt.NDArray[np.bool_]

RUBBISH = (Reason.NOT_JSON, Reason.MISSING_FIELD, Reason.WRONG_TYPE)
"""What a sender does to every message when it is broken; a late or unknown one says nothing of its sender."""
REMEDY = (
    "mend the sender (tierwise dead-letters list shows what it sent) and start again; "
    "to set aside what is left of it: tierwise run --accept-dead-letters"
)


class Bounds(NamedTuple):
    """Say how much rubbish is too much: more than this of the last so many messages, or so many in a row."""

    rubbish_max: int = 500
    window: int = 10_000
    in_a_row: int = 1_000


class Stop(NamedTuple):
    """Say with which message of a batch a bound was passed, and which."""

    row: int
    rule: str


class Recent:
    """Remember of the last messages of one topic partition whether each was rubbish."""

    def __init__(self, bounds: Bounds) -> None:
        assert bounds.in_a_row <= bounds.window, bounds
        self._bounds = bounds
        self._flags: Flags = np.zeros(0, np.bool_)

    def take(self, rubbish: Flags) -> Stop | None:
        """Look at the next messages; answer where they pass a bound, None while they do not."""
        bounds, before = self._bounds, len(self._flags)
        flags = np.concatenate((self._flags, rubbish))
        self._flags = flags[-bounds.window :]
        if np.count_nonzero(flags) < min(bounds.rubbish_max + 1, bounds.in_a_row):
            return None
        count = np.zeros(len(flags) + 1, np.int64)
        np.cumsum(flags, out=count[1:])
        seen = np.arange(before + 1, len(flags) + 1)
        in_window = count[seen] - count[np.maximum(seen - bounds.window, 0)]
        newest_good = np.maximum.accumulate(np.where(flags, 0, np.arange(1, len(flags) + 1)))
        in_a_row = seen - newest_good[before:]
        is_over = (seen >= bounds.window) & (in_window > bounds.rubbish_max)
        stops = np.flatnonzero(is_over | (in_a_row >= bounds.in_a_row))
        if not len(stops):
            return None
        row = int(stops[0])
        if is_over[row]:
            return Stop(row, f"{in_window[row]} of the last {bounds.window}")
        return Stop(row, f"{in_a_row[row]} in a row")


class DeadLetterLimit:
    """
    Watch the share of rubbish in each topic partition that is ours, and stop one that passes a bound.

    The messages up to that one are set aside as usual. Those behind it are not taken, and the source reads no
    more of the topic partition: they are still there when it is claimed again, which begins a new count.

    Args:
        topics: input topics in the order of settings.
    """

    def __init__(
        self, topics: Sequence[str], progress: Progress, measure: Measure, bounds: Bounds | None = None
    ) -> None:
        self._topics = topics
        self._progress = progress
        self._measure = measure
        self._bounds = bounds or Bounds()
        self._recent: dict[tuple[int, int], Recent] = {}
        self._is_rubbish = np.zeros(max(Reason) + 1, np.bool_)
        self._is_rubbish[list(RUBBISH)] = True

    def claimed(self, claim: Claim) -> None:
        """Begin to count anew; what was stopped and has not been read on by anybody since stays stopped."""
        for topic, name in enumerate(self._topics):
            place = claim.partition, topic
            self._recent[place] = Recent(self._bounds)
            is_stopped = self.is_stopped(*place)
            self._measure.partition_stopped(claim.partition, name, is_stopped)
            if is_stopped:
                log("warn", "stop.kept", topic=name, partition=claim.partition, remedy=REMEDY)

    def released(self, partition: int) -> None:
        """Forget a shard that is no longer ours."""
        for topic, name in enumerate(self._topics):
            self._recent.pop((partition, topic), None)
            self._measure.partition_stopped(partition, name, False)

    def is_stopped(self, partition: int, topic: int) -> bool:
        """Tell whether nothing is taken from a topic partition."""
        return (partition, topic) in self._progress.stopped

    def admitted(self, batch: EventBatch) -> int:
        """Answer how many messages of a batch are taken: all, or up to the one that passes a bound."""
        place = batch.partition, batch.topic
        recent = self._recent.get(place)
        stop = recent.take(self._is_rubbish[batch.fate]) if recent else None
        if stop is None:
            return len(batch)
        name, next_offset = self._topics[batch.topic], int(batch.offset[stop.row]) + 1
        self._progress.stopped[place] = next_offset
        self._measure.partition_stopped(batch.partition, name, True)
        log(
            "error",
            "partition.stopped",
            topic=name,
            partition=batch.partition,
            next_offset=next_offset,
            cause=f"{stop.rule} were {', '.join(reason.label for reason in RUBBISH)}",
            remedy=REMEDY,
        )
        return stop.row + 1
