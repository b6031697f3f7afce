"""This file counts what became of every message; the counts obey the conservation law at every commit."""

from dataclasses import dataclass, field

from scoring.events import Reason


@dataclass(slots=True)
class Counters:
    """Count since the shard was loaded: consumed = applied + duplicate + ignored + dead + replayed_skipped."""

    consumed: int = 0
    applied: int = 0
    duplicate: int = 0
    ignored: int = 0
    dead_lettered: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    replayed_skipped: int = 0
    duplicates_evicted: int = 0
    orders_evicted: int = 0
    refund_excess: int = 0
    deadlines_fired: int = 0

    def conserved(self) -> bool:
        """Tell whether every consumed message has exactly one fate."""
        dead = sum(self.dead_lettered.values())
        return self.consumed == self.applied + self.duplicate + self.ignored + dead + self.replayed_skipped
