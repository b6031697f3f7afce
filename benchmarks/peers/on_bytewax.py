"""
Bytewax, event by event.

As taught: kafka.input, json in a map, key_on, stateful_map, a sink that writes each profile, kafka.output.
Tuned: batches of 10,000 from the source; msgspec; one flat_map_batch in place of map and key_on; stateful_batch with
a logic of our own, whose snapshot does not copy; profiles coalesced for 0.25 s; one worker, as more share one GIL.
State is in memory: no recovery store, which would cost more. The clock of the tuned one starts with the first event:
8 partitions give 80,000 events at once, and most of their work is done before the first of them is stored.
"""

import json
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, as_json, parsed
from benchmarks.peers.peer import READING, Meter, Task, read_task
from benchmarks.peers.profiles import Profiles

SETTINGS = {"fetch.wait.max.ms": str(READING["fetch.wait.max.ms"])}
Scored = tuple[str, tuple[User, int]]


class ProfileSink(DynamicSink):  # type: ignore[misc]
    """Writes the profile of each event's user, or with `coalesce` once in a while; ends the process after the last."""

    def __init__(self, task: Task, meter: Meter, *, coalesce: bool) -> None:
        self._task, self._meter, self._coalesce = task, meter, coalesce

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "ProfilePartition":
        """Open the connection."""
        return ProfilePartition(self._task, self._meter, coalesce=self._coalesce)


class ProfilePartition(StatelessSinkPartition):  # type: ignore[misc]
    """The one of the one worker."""

    def __init__(self, task: Task, meter: Meter, *, coalesce: bool) -> None:
        self._meter, self._profiles, self._coalesce = meter, Profiles(task, meter), coalesce

    def write_batch(self, items: list[Scored]) -> None:
        """Write what comes."""
        for user_id, (user, _) in items:
            if self._coalesce:
                self._profiles.keep(user_id, user)
            else:
                self._profiles.write(user_id, user.profile())
        if self._meter.is_done:
            self._meter.finish()


class Scoring(StatefulBatchLogic):  # type: ignore[misc]
    """One user."""

    def __init__(self, resumed: User | None) -> None:
        self._user = resumed or User()

    def on_batch(self, values: list[tuple[str, int, int]]) -> tuple[Iterable[tuple[User, int]], bool]:
        """Apply the user's events of a batch."""
        return [(self._user, self._user.apply(*value)) for value in values], StatefulBatchLogic.RETAIN

    def snapshot(self) -> User:
        """Give what no one stores."""
        return self._user


def taught(task: Task) -> Dataflow:
    """Build what the documentation would have one build."""
    flow = Dataflow("peer")
    source = kop.input("in", flow, brokers=[task.bootstrap], topics=task.topics, add_config=SETTINGS)
    rows = op.map("parse", source.oks, lambda message: parsed(json.loads(message.value)))
    keyed = op.key_on("key", rows, lambda row: row[0])

    def apply(user: User | None, row: Any) -> tuple[User, tuple[User, int]]:
        user = user or User()
        return user, (user, user.apply(*row[1:]))

    scored = op.stateful_map("score", keyed, apply)
    publish(task, scored)
    op.output("profiles", scored, ProfileSink(task, Meter(task), coalesce=False))
    return flow


def tuned(task: Task) -> Dataflow:
    """Build the same with fewer steps and fewer writes."""
    flow = Dataflow("peer")
    meter = Meter(task)
    settings = {**SETTINGS, "fetch.queue.backoff.ms": "5"}
    source = KafkaSource([task.bootstrap], task.topics, add_config=settings, batch_size=10_000)

    def rows(messages: list[KafkaSourceMessage]) -> Iterable[tuple[str, tuple[str, int, int]]]:
        meter.start()
        for message in messages:
            user_id, *row = decoded(message.value)
            yield user_id, tuple(row)

    keyed = op.flat_map_batch("parse", op.input("in", flow, source), rows)
    scored = op.stateful_batch("score", keyed, Scoring)
    publish(task, scored)
    op.output("profiles", scored, ProfileSink(task, meter, coalesce=True))
    return flow


def publish(task: Task, scored: Stream[Scored]) -> None:
    """Send changes to their topic."""

    def change(item: Scored) -> KafkaSinkMessage | None:
        user_id, (user, before) = item
        if before == user.rung:
            return None
        return KafkaSinkMessage(user_id.encode(), as_json(user.change(user_id, before)))

    changes = op.filter_map("changes", scored, change)
    kop.output("out", changes, brokers=[task.bootstrap], topic=task.changes)


if __name__ == "__main__":
    chosen = read_task()
    cli_main((tuned if chosen.way == "tuned" else taught)(chosen))
