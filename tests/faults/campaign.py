"""One fault, carried out in a world of its own, and what became of it. This file runs it."""

import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from config.policy_file import load_policy
from flows.dev.child import ChildFailed
from tests.faults.audit import Audit, audit
from tests.faults.catalogue import Fault
from tests.faults.world import NotRecovered, World
from tests.integration.worker_process import POLICY


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


def run(fault: Fault, count: int, seed: int, is_control: bool) -> Result:
    """Carry one fault out so often, in a world that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tierwise-faults-") as folder:
        result, world = Result(), None
        try:
            world = World(Path(folder), seed, fault.scene, fault.sabotage if is_control else None)
            fault.injure(world, count)
        except Exception:
            result.failure = traceback.format_exc(limit=3)
        if world is None:
            return result
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
