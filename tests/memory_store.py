"""This file is the store as a dict: what the commit protocol leaves behind, also after a crash between chunks."""

from dataclasses import dataclass, field
from typing import Any

from scoring.commit_plan import COLD, NOWHERE, WARM, ColdCount, CommitChunk, CommitPlan
from scoring.events import LadderChange
from scoring.policy import Policy
from scoring.row import NEVER


@dataclass
class MemoryStore:
    """Rows, profiles, outbox and offsets of one shard; `write` stops after so many atomic writes."""

    policy: Policy
    topics: int
    rows: dict[bytes, bytes] = field(default_factory=dict)
    cold: dict[bytes, bytes] = field(default_factory=dict)
    cold_count: ColdCount | None = None
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[LadderChange] = field(default_factory=list)
    dead_letters: list[tuple[str, str, int]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    marks: list[int | None] = field(default_factory=list)
    watermark_ms: int | None = None

    def __post_init__(self) -> None:
        self.offsets = self.offsets or [0] * self.topics
        self.marks = self.marks or [None] * self.topics

    def write(self, plan: CommitPlan, writes: int) -> None:
        """Write the chunks and then the offsets, each in one piece, as far as `writes` pieces go."""
        for chunk in plan.chunks[:writes]:
            self._write_chunk(chunk)
        if writes > len(plan.chunks):
            self.dead_letters += [(d.reason.label, d.topic, d.offset) for d in plan.dead_letters]
            for topic, offset in enumerate(plan.next_offset):
                self.offsets[topic] = self.offsets[topic] if offset is None else offset
            self.marks, self.watermark_ms = plan.marks, plan.watermark_ms

    def _write_row(self, chunk: CommitChunk, n: int, user_id: bytes) -> None:
        homes = {WARM: self.rows, COLD: self.cold}
        held_by = [home for home, rows in homes.items() if user_id in rows] or [NOWHERE]
        assert held_by == [chunk.committed_home[n]], user_id
        homes.get(held_by[0], {}).pop(user_id, None)
        row = chunk.row_bytes[chunk.row_start[n] : chunk.row_start[n + 1]].tobytes()
        homes[int(chunk.home[n])][user_id] = row

    def _write_chunk(self, chunk: CommitChunk) -> None:
        self.cold_count = chunk.cold or self.cold_count
        self.changes += chunk.changes
        self.dead_letters += [(d.reason.label, d.topic, d.offset) for d in chunk.dead_letters]
        for n in range(len(chunk)):
            user_id = chunk.user_bytes[chunk.user_start[n] : chunk.user_start[n + 1]].tobytes()
            self._write_row(chunk, n, user_id)
            self.profiles[user_id.decode()] = self._profile(chunk, n)

    def _profile(self, chunk: CommitChunk, n: int) -> dict[str, Any]:
        profile: dict[str, Any] = {
            "as_of_ms": int(chunk.as_of_ms[n]),
            "seq": int(chunk.seq[n]),
            "first_seen_ms": int(chunk.first_seen_ms[n]),
            "last_seen_ms": int(chunk.last_seen_ms[n]),
            "orders": int(chunk.orders[n]),
            "spend": int(chunk.spend_minor[n]),
        }
        for number, ladder in enumerate(self.policy.ladders):
            falls_at_ms = int(chunk.falls_at_ms[n, number])
            profile[ladder.name] = {
                "rung": ladder.rungs[chunk.rung[n, number]].name,
                "since_ms": int(chunk.since_ms[n, number]),
                "score": float(chunk.score[n, number]),
                "falls_at_ms": None if falls_at_ms == NEVER else falls_at_ms,
            }
        return profile
