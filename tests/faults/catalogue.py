"""The faults there are, in the order of the table. This file lists them, each with its control and its counts."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import on_broker, on_store, on_workers
from tests.faults.scene import Scene
from tests.faults.world import World

HITS_PER_WORLD = 25
"""The reference recomputes everything at each event, so a world must not grow old."""
PLAIN = Scene()
ALONE = Scene(own_groups=True, session_ms=1_000)
PROXIED = Scene(own_groups=True, session_ms=1_000, bad_store_link=True)
KAFKA = Scene(on_apache=True)
KAFKA_PROXIED = Scene(on_apache=True, bad_broker_link=True)


@dataclass(frozen=True)
class Fault:
    """
    One row of the table.

    Attributes:
        injure: hurts a world so often.
        sabotage: what the control's workers lack.
        short, soak: how often it is done; 0 leaves it out.
        control: how often in the control.
        waits: whether it waits most of the time, so that its worlds may run beside the others.
        per_world: how many hits a world takes.
    """

    name: str
    what: str
    injure: Callable[[World, int], None]
    sabotage: str
    short: int
    soak: int
    control: int = 2
    scene: Scene = PLAIN
    waits: bool = False
    per_world: int = HITS_PER_WORLD


FAULTS = (
    Fault("kill", "`kill -9` of a worker", on_workers.kill_anywhere, "no_outbox", 20, 200, 6),
    Fault(
        "kill-before-chunk", "`kill -9` before the k-th chunk reaches the store",
        on_workers.kill_before_chunk, "offsets_first", 40, 400, 4, PROXIED,
    ),
    Fault(
        "kill-after-chunk", "`kill -9` behind the k-th chunk, before its answer",
        on_workers.kill_after_chunk, "no_offset_check", 40, 400, 8, PROXIED,
    ),
    Fault(
        "relay", "`kill -9` while the outbox is not empty",
        on_workers.kill_with_full_outbox, "trim_early", 25, 100, 4, ALONE,
    ),
    Fault(
        "freeze", "SIGSTOP of an owner, SIGCONT after another took over",
        on_workers.freeze_owner, "no_fence", 10, 50, 6,
        Scene(is_hot=True, own_groups=True, commit_interval="400ms"),
    ),
    Fault(
        "freeze-member", "SIGSTOP of one of two, SIGCONT after the group gave its shards to the other",
        on_workers.freeze_member, "no_fence", 0, 20, 4, Scene(is_hot=True, commit_interval="400ms"),
    ),
    Fault(
        "second-owner", "a second owner by mistake",
        on_workers.second_owner, "no_outbox", 2, 20, 4,
    ),
    Fault(
        "storm", "three workers started, stopped and killed at random, in a group of Apache Kafka",
        on_workers.storm, "no_outbox", 8, 100, 16, KAFKA,
    ),
    Fault("rollback", "the store set back to an older snapshot", on_store.roll_back, "at_least", 10, 50),
    Fault(
        "store-kill", "`kill -9` of the store, its writes kept (`everysec`)",
        on_store.kill_store, "assume_done", 3, 50, 3, Scene(appendonly=True),
    ),
    Fault("memory", "`maxmemory` reached", on_store.fill_memory, "assume_done", 2, 20),
    Fault("read-only", "READONLY", on_store.make_read_only, "assume_done", 2, 20),
    Fault("no-replicas", "NOREPLICAS", on_store.ask_for_replicas, "assume_done", 2, 20),
    Fault(
        "black-hole", "a black hole on the way to the store",
        on_store.black_hole, "assume_done", 2, 20, 2, PROXIED,
    ),
    Fault(
        "reset", "a connection to the store reset in a chunk",
        on_store.reset_link, "assume_done", 12, 100, 12, PROXIED,
    ),
    Fault("slow", "a slow link to the store", on_store.slow_link, "assume_done", 3, 20, 4, PROXIED),
    Fault("hang", "the broker hangs for 4 s", on_broker.hang, "careless_relay", 2, 20),
    Fault(
        "hang-long", "the broker hangs for 70 s",
        on_broker.hang_long, "careless_relay", 0, 3, 1, waits=True, per_world=1,
    ),
    Fault(
        "absent", "the broker does not answer when a worker starts",
        on_broker.absent_at_start, "no_outbox", 2, 20, 4,
    ),
    Fault(
        "kafka-reset", "a connection to Apache Kafka reset in a produce request",
        on_broker.reset_link, "careless_relay", 10, 50, 8, KAFKA_PROXIED,
    ),
    Fault(
        "kafka-slow", "a slow link to Apache Kafka",
        on_broker.slow_link, "careless_relay", 2, 20, 3, KAFKA_PROXIED,
    ),
    Fault(
        "kafka-black-hole", "a black hole on the way to Apache Kafka",
        on_broker.black_hole, "careless_relay", 3, 20, 3, KAFKA_PROXIED,
    ),
    Fault(
        "kafka-kill", "`kill -9` of Apache Kafka, its data kept",
        on_broker.kill, "careless_relay", 3, 20, 2, KAFKA,
    ),
    Fault(
        "kafka-gone", "Apache Kafka gone for 70 s",
        on_broker.kill_for_long, "careless_relay", 1, 3, 1, KAFKA, waits=True, per_world=1,
    ),
    Fault(
        "kafka-disk", "the disk under Apache Kafka full, until it ends",
        on_broker.fill_disk, "careless_relay", 1, 10, 1, Scene(on_apache=True, small_disk=True),
    ),
    Fault(
        "clock", "clocks of workers leap, by up to 400 days and either way",
        on_workers.clock_leaps, "wall_clock", 6, 50, 2, Scene(own_groups=True, session_ms=1_000, false_clock=True),
    ),
)  # fmt: skip
