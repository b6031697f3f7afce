"""The list of faults, and one fault carried out in a world of its own. This file runs both."""

import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.policy_file import load_policy
from flows.dev.child import ChildFailed
from tests.faults import on_broker, on_store, on_workers
from tests.faults.audit import Audit, audit
from tests.faults.world import NotRecovered, World
from tests.integration.worker_process import POLICY

HITS_PER_WORLD = 12
"""The reference recomputes everything at each event, so a world must not grow old."""


@dataclass(frozen=True)
class Fault:
    """
    One row of the table.

    Attributes:
        injure: hurts a world so often.
        sabotage: what the control's workers lack.
        short, soak: how often it is done; 0 leaves it out.
        control: how often in the control.
    """

    name: str
    what: str
    injure: Callable[[World, int], None]
    sabotage: str
    short: int
    soak: int
    control: int = 2
    has_proxy: bool = False
    appendonly: bool = False
    is_hot: bool = False
    commit_interval: str = "30ms"


@dataclass
class Result:
    """
    What became of one fault in one world, or added up over several.

    Attributes:
        failure: why it could not be carried out to its end.
        is_stuck: whether the last worker, which has all safeguards, could not go on with what it found.
    """

    hits: int = 0
    misses: int = 0
    restarts: int = 0
    found: Audit = field(default_factory=Audit)
    recoveries_s: list[float] = field(default_factory=list)
    failure: str = ""
    is_stuck: bool = False

    @property
    def is_clean(self) -> bool:
        """Tell whether everything came out as if nothing had happened."""
        return self.found.is_clean and not self.failure and self.hits > 0

    @property
    def is_broken(self) -> bool:
        """Tell whether something came out wrong, or never."""
        return self.hits > 0 and (self.is_stuck or not self.found.is_clean)

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.hits + other.hits,
            self.misses + other.misses,
            self.restarts + other.restarts,
            self.found + other.found,
            self.recoveries_s + other.recoveries_s,
            self.failure or other.failure,
            self.is_stuck or other.is_stuck,
        )


FAULTS = (
    Fault("kill", "`kill -9` of a worker", on_workers.kill_anywhere, "no_outbox", 10, 200, 4),
    Fault(
        "kill-before-chunk", "`kill -9` before the k-th chunk reaches the store",
        on_workers.kill_before_chunk, "offsets_first", 6, 100, 4, has_proxy=True,
    ),
    Fault(
        "kill-after-chunk", "`kill -9` behind the k-th chunk, before its answer",
        on_workers.kill_after_chunk, "no_offset_check", 6, 100, 4, has_proxy=True,
    ),
    Fault(
        "relay", "`kill -9` while the outbox is not empty",
        on_workers.kill_with_full_outbox, "trim_early", 6, 100, 4,
    ),
    Fault(
        "freeze", "SIGSTOP of an owner, SIGCONT after another took over",
        on_workers.freeze_owner, "no_fence", 4, 50, 4, is_hot=True, commit_interval="400ms",
    ),
    Fault(
        "second-owner", "a second owner by mistake",
        on_workers.second_owner, "no_outbox", 2, 20, 4,
    ),
    Fault(
        "storm", "three workers started, stopped and killed at random",
        on_workers.storm, "no_outbox", 8, 100, 8,
    ),
    Fault("rollback", "the store set back to an older snapshot", on_store.roll_back, "at_least", 4, 50),
    Fault(
        "store-kill", "`kill -9` of the store, its writes kept (`everysec`)",
        on_store.kill_store, "assume_done", 3, 50, 3, appendonly=True,
    ),
    Fault("memory", "`maxmemory` reached", on_store.fill_memory, "assume_done", 2, 20),
    Fault("read-only", "READONLY", on_store.make_read_only, "assume_done", 2, 20),
    Fault("no-replicas", "NOREPLICAS", on_store.ask_for_replicas, "assume_done", 2, 20),
    Fault(
        "black-hole", "a black hole on the way to the store",
        on_store.black_hole, "assume_done", 2, 20, has_proxy=True,
    ),
    Fault(
        "reset", "a connection to the store reset in a chunk",
        on_store.reset_link, "assume_done", 12, 100, 12, has_proxy=True,
    ),
    Fault("slow", "a slow link to the store", on_store.slow_link, "assume_done", 3, 20, 4, has_proxy=True),
    Fault("hang", "the broker hangs for 4 s", on_broker.hang, "careless_relay", 2, 20),
    Fault("hang-long", "the broker hangs for 70 s", on_broker.hang_long, "careless_relay", 0, 4, 1),
    Fault(
        "absent", "the broker does not answer when a worker starts",
        on_broker.absent_at_start, "no_outbox", 2, 20,
    ),
)  # fmt: skip


def run(fault: Fault, count: int, seed: int, is_control: bool) -> Result:
    """Carry one fault out so often, in a world that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tierwise-faults-") as folder:
        sabotage = fault.sabotage if is_control else None
        world = World(
            Path(folder),
            seed,
            sabotage,
            fault.has_proxy,
            fault.appendonly,
            fault.is_hot,
            fault.commit_interval,
        )
        result = Result()
        try:
            fault.injure(world, count)
        except Exception:
            result.failure = traceback.format_exc(limit=3)
        try:
            if is_control or not result.failure:
                _finish(world, result)
        except Exception:
            result.failure += traceback.format_exc(limit=3)
        finally:
            world.close()
    result.hits, result.misses, result.restarts = world.hits, world.misses, world.restarts
    result.recoveries_s = world.recoveries_s
    return result


def _finish(world: World, result: Result) -> None:
    try:
        world.finish()
    except (NotRecovered, ChildFailed):
        result.is_stuck = True
        raise
    result.found = audit(world, load_policy(POLICY))
