"""
Quix Streams.

As taught: two dataframes concatenated, JSON topics, a stateful apply, an update that writes each profile, to_topic.
Tuned: messages taken as bytes and read by msgspec; no changelog topics; profiles coalesced for 0.25 s. The state
of a user goes to RocksDB as bytes that msgspec packed; a commit each 5 s is the default. State is in RocksDB.
"""

from typing import Any

import msgspec
from quixstreams import Application, State

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, parsed
from benchmarks.peers.peer import READING, Meter, Task, read_task
from benchmarks.peers.profiles import Profiles


def run(task: Task, meter: Meter) -> None:
    """Build the application and run it for all events."""
    is_tuned = task.way == "tuned"
    profiles = Profiles(task, meter)
    settings = {name: value for name, value in READING.items() if name != "auto.offset.reset"}
    tuning: dict[str, Any] = {}
    if is_tuned:
        tuning = {"use_changelog_topics": False, "producer_extra_config": {"linger.ms": 20}}
        settings["fetch.queue.backoff.ms"] = 5
    application = Application(
        broker_address=task.bootstrap,
        consumer_group=task.prefix,
        auto_offset_reset="earliest",
        state_dir=task.folder,
        consumer_extra_config=settings,
        loglevel="WARNING",
        **tuning,
    )
    kind = "bytes" if is_tuned else "json"
    frames = [application.dataframe(application.topic(name, value_deserializer=kind)) for name in task.topics]
    frame = frames[0].concat(frames[1])
    row = decoded if is_tuned else parsed

    def score(value: Any, state: State) -> dict[str, Any] | None:
        user_id, kind, at_ms, cents = row(value)
        if is_tuned:
            stored = state.get_bytes("user")
            user = User.unpacked(msgspec.msgpack.decode(stored) if stored else None)
        else:
            user = User.unpacked(state.get("user"))
        before = user.apply(kind, at_ms, cents)
        if is_tuned:
            state.set_bytes("user", msgspec.msgpack.encode(user.packed()))
            profiles.keep(user_id, user)
        else:
            state.set("user", user.packed())
            profiles.write(user_id, user.profile())
        if meter.is_done:
            application.stop()
        return user.change(user_id, before) if before != user.rung else None

    frame = frame.apply(score, stateful=True)
    frame = frame[frame.apply(lambda change: change is not None)]
    frame.to_topic(application.topic(task.changes, value_serializer="json"))
    application.run()


if __name__ == "__main__":
    chosen = read_task()
    found = Meter(chosen)
    run(chosen, found)
    found.finish()
