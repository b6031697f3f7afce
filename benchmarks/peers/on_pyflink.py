"""
PyFlink's DataStream API, parallelism 1.

As taught: JSON in a map, key_by, a KeyedProcessFunction with a ValueState, Python in processes beside the JVM, each
profile written as it changes.
Tuned: Python in threads within the JVM, msgspec, the profiles coalesced for 0.25 s.
State is in the JVM's memory; the job takes no checkpoint.
"""

import json
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, SimpleStringSchema, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import User, as_json, parsed
from benchmarks.peers.peer import Meter, Task, read_task
from benchmarks.peers.profiles import Profiles


class Score(KeyedProcessFunction):  # type: ignore[misc]
    """One user at a time. It may live in another process than `main`, which finds the figures in a file."""

    def __init__(self, task: Task, main_pid: int) -> None:
        self._task, self._main_pid = task, main_pid

    def open(self, context: RuntimeContext) -> None:
        """Connect."""
        self._users = context.get_state(ValueStateDescriptor("user", Types.PICKLED_BYTE_ARRAY()))
        self._meter = Meter(self._task, self._main_pid)
        self._profiles = Profiles(self._task, self._meter)

    def process_element(self, row: Any, context: Any) -> Iterator[str]:
        """Apply one event."""
        user_id, kind, at_ms, cents = row
        user = User.unpacked(self._users.value())
        before = user.apply(kind, at_ms, cents)
        self._users.update(user.packed())
        if self._task.way == "tuned":
            self._profiles.keep(user_id, user)
        else:
            self._profiles.write(user_id, user.profile())
        if before != user.rung:
            yield as_json(user.change(user_id, before)).decode()
        if self._meter.is_done:
            figures = figures_file(self._task)
            figures.with_suffix(".new").write_text(json.dumps(self._meter.figures()), encoding="utf-8")
            figures.with_suffix(".new").rename(figures)


def figures_file(task: Task) -> Path:
    """Name the file in which `main` waits for the figures."""
    return task.folder / "figures.json"


def main() -> None:
    """Build the job, run it, wait for its figures."""
    task = read_task()
    is_tuned = task.way == "tuned"
    # The interpreter within the JVM looks for packages where the JVM's environment says, not in this one's folders.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        (sysconfig.get_path("purelib"), os.environ.get("PYTHONPATH", ""))
    )
    settings = Configuration()
    settings.set_string("python.execution-mode", "thread" if is_tuned else "process")
    settings.set_string("python.executable", sys.executable)
    settings.set_string("python.client.executable", sys.executable)
    environment = StreamExecutionEnvironment.get_execution_environment(settings)
    environment.set_parallelism(1)
    for name in ("flink-connector-kafka", "flink-connector-base", "kafka-clients"):
        (jar,) = Path(os.environ["PEER_JARS"]).glob(f"{name}-*.jar")
        environment.add_jars(f"file://{jar}")
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(task.bootstrap)
        .set_topics(*task.topics)
        .set_group_id(task.prefix)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(SimpleStringSchema())
        .set_property("fetch.max.wait.ms", "20")
        .build()
    )
    serializer = KafkaRecordSerializationSchema.builder().set_topic(task.changes)
    serializer = serializer.set_value_serialization_schema(SimpleStringSchema()).build()
    sink = KafkaSink.builder().set_bootstrap_servers(task.bootstrap).set_record_serializer(serializer).build()

    def row(text: str) -> tuple[str, str, int, int]:
        return decoded(text) if is_tuned else parsed(json.loads(text))

    events = environment.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    rows = events.map(
        row, output_type=Types.TUPLE([Types.STRING(), Types.STRING(), Types.LONG(), Types.LONG()])
    )
    changes = rows.key_by(lambda row: row[0]).process(Score(task, os.getpid()), output_type=Types.STRING())
    changes.sink_to(sink)
    threading.Thread(target=wait_for_figures, args=(task,), daemon=True).start()
    environment.execute("peer")


def wait_for_figures(task: Task) -> None:
    """Print the figures as soon as they are there, and end the process."""
    while not figures_file(task).exists():
        time.sleep(0.01)
    os.write(1, f"\n{figures_file(task).read_text(encoding='utf-8')}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
