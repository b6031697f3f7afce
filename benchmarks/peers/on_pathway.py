"""
Pathway.

As taught: kafka.read of JSON, groupby with a stateful reducer, subscribe; the default minibatch of 1.5 s.
Tuned: raw messages read by msgspec within the reducer, so that no row is taken apart twice; minibatches of 0.25 s; the
profiles of a minibatch as one pipeline.
A user's events of one minibatch come to the reducer together, so its profile is written once in each. State is in
memory; the reducer sorts by time, as the engine gives no order within a minibatch. The clock starts with the first
event: a minibatch is large, and what is read while the first one is scored would be work for nothing.
"""

from typing import Any

import pathway as pw
from confluent_kafka import Producer

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, as_json, parsed
from benchmarks.peers.peer import JOINING, Meter, Task, read_task
from benchmarks.peers.profiles import Profiles


class Row(pw.Schema):  # type: ignore[misc]
    """The same for the engine."""

    user_id: str
    type: str
    event_time: str
    amount: str = pw.column_definition(default_value="0")


def apply_all(state: Any, events: list[tuple[str, str, int, int]]) -> tuple[Any, ...]:
    """Answer the state after these events: who, all that is known, all changes ever, how many events ever."""
    meter.start()
    user = User.unpacked(state[1] if state else None)
    user.hours, user.days = list(user.hours), list(user.days)
    changes, count = (list(state[2]), state[3]) if state else ([], 0)
    for user_id, kind, at_ms, cents in sorted(events, key=lambda row: row[2]):
        before = user.apply(kind, at_ms, cents)
        if before != user.rung:
            changes.append(as_json(user.change(user_id, before)))
    packed = tuple(tuple(value) if isinstance(value, list) else value for value in user.packed())
    return events[0][0], packed, tuple(changes), count + len(events)


@pw.reducers.stateful_many  # type: ignore[untyped-decorator]
def score_rows(state: tuple | None, rows: list[tuple[list[Any], int]]) -> tuple:
    """Apply events that the engine has read; equal ones come as one row with how many they are."""
    names = ("user_id", "type", "event_time", "amount")
    return apply_all(
        state, [parsed(dict(zip(names, row, strict=True))) for row, times in rows for _ in range(times)]
    )


@pw.reducers.stateful_many  # type: ignore[untyped-decorator]
def score_raw(state: tuple | None, rows: list[tuple[list[Any], int]]) -> tuple:
    """Apply messages."""
    return apply_all(state, [decoded(value) for (value,), _ in rows])


task = read_task()
meter = Meter(task)


class Output:
    """Takes what changed."""

    def __init__(self, task: Task, meter: Meter) -> None:
        self._task, self._meter = task, meter
        self._profiles = Profiles(task, meter)
        self._producer = Producer({"bootstrap.servers": task.bootstrap, "linger.ms": 20})
        self._known: dict[str, tuple[int, int]] = {}
        self._users: dict[str, User] = {}
        self._events = 0

    def on_change(self, key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        """Publish the changes of a user; write the profile, or tuned, remember it."""
        if not is_addition:
            return
        user_id, packed, changes, count = row["state"]
        user = User.unpacked(packed)
        published, counted = self._known.get(user_id, (0, 0))
        self._known[user_id], events = (len(changes), count), count - counted
        for change in changes[published:]:
            self._producer.produce(self._task.changes, change, user_id)
        if self._task.way == "tuned":
            self._users[user_id] = user
            self._events += events
        else:
            self._profiles.write(user_id, user.profile())
            self._meter.took(events - 1)

    def on_time_end(self, time: int) -> None:
        """Write what is remembered; end after the last event."""
        if self._users:
            self._profiles.write_all(self._users, self._events)
        self._users, self._events = {}, 0
        self._producer.poll(0)
        if self._meter.is_done:
            self._producer.flush()
            self._meter.finish()


def main() -> None:
    """Build the tables and run them."""
    output = Output(task, meter)
    joining = {name: str(value) for name, value in JOINING.items()}
    settings = {
        **joining,
        "bootstrap.servers": task.bootstrap,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": "20",
    }

    def of_topic(name: str) -> dict[str, str]:
        # A group for each: two members with different topics would take turns in one.
        return {**settings, "group.id": f"{task.prefix}-{name}"}

    if task.way == "tuned":
        tables = [
            pw.io.kafka.read(
                of_topic(name), topic=name, format="raw", with_metadata=False, autocommit_duration_ms=250
            )
            for name in task.topics
        ]
        table = pw.Table.concat_reindex(*tables)
        scored = table.groupby(pw.this.key).reduce(state=score_raw(pw.this.data))
    else:
        tables = [
            pw.io.kafka.read(of_topic(name), topic=name, schema=Row, format="json") for name in task.topics
        ]
        table = pw.Table.concat_reindex(*tables)
        scored = table.groupby(pw.this.user_id).reduce(
            state=score_rows(pw.this.user_id, pw.this.type, pw.this.event_time, pw.this.amount)
        )
    pw.io.subscribe(scored, on_change=output.on_change, on_time_end=output.on_time_end)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
