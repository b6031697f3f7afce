"""Redis, as far as the protocol sees it. This file models atomic writes, watches, late requests and restores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.shard import Entry, Place, Row

Snapshot = tuple[dict[int, "ShardState"], dict[str, int]]
Watches = Mapping[str, int]


class ShardState(NamedTuple):
    """
    The keys of one shard; never changed in place, so that a snapshot is a copy of references.

    rows: of users whom time can change; cold: of the others.
    written: every entry that was ever added, and ancestry every token: for the checker, not for the protocol.
    """

    place: Place
    token: int | None = None
    earlier: tuple[int, ...] = ()
    number: int = 0
    rows: Mapping[str, Row] = {}
    cold: Mapping[str, Row] = {}
    audiences: frozenset[tuple[str, int]] = frozenset()
    outbox: tuple[Entry, ...] = ()
    written: tuple[Entry, ...] = ()
    ancestry: tuple[int, ...] = ()


@dataclass(frozen=True)
class Write:
    """One MULTI/EXEC."""

    partition: int
    number: int | None = None
    claim: tuple[int, tuple[int, ...]] | None = None
    rows: Mapping[str, Row] = field(default_factory=dict)
    left: Mapping[str, int | None] = field(default_factory=dict)
    was_cold: Mapping[str, bool | None] = field(default_factory=dict)
    """Users whose row has to go where the store has it, when it is written elsewhere."""
    entries: tuple[Entry, ...] = ()
    trim_to: tuple[int, int] | None = None
    place: Place | None = None

    def __str__(self) -> str:
        if self.claim is not None:
            return f"claim of shard {self.partition} with token {self.claim[0]}"
        parts = [f"write {self.number} of shard {self.partition}"]
        parts += [f"{user} at offset {row.offsets}, seq {row.seq}" for user, row in self.rows.items()]
        parts += [f"{len(self.entries)} entries"] if self.entries else []
        parts += [f"trim to {self.trim_to}"] if self.trim_to else []
        parts += [f"read on at {self.place.offsets}"] if self.place else []
        return ", ".join(parts)


def meta_key(partition: int) -> str:
    """Name the meta hash of a shard."""
    return f"meta {partition}"


class Store:
    """Hold all shards; `late` are requests whose sender has given them up while they are still on their way."""

    def __init__(self, topics: int) -> None:
        self._empty = ShardState(Place((None,) * topics, (None,) * topics))
        self._shards: dict[int, ShardState] = {}
        self.owners: dict[str, int] = {}
        """Which shard a user's profile names."""
        self._versions: dict[str, int] = {}
        self._writes = 0
        self.starts = 0
        self.late: list[tuple[Watches, Write]] = []
        self.snapshots: list[Snapshot] = []
        self.durable: set[tuple[str, tuple[str, ...]]] = set()
        """Name and content of whatever was ever in an outbox, also before a restore."""

    def shard(self, partition: int) -> ShardState:
        """Answer what one shard's keys hold."""
        return self._shards.get(partition, self._empty)

    def version(self, key: str) -> int:
        """Answer a number that changes whenever a key is touched."""
        return self._versions.get(key, 0)

    def execute(self, watches: Watches, write: Write) -> bool:
        """Do all of a write, or nothing when a watched key was touched."""
        if any(self.version(key) != version for key, version in watches.items()):
            return False
        before = self.shard(write.partition)
        self._shards[write.partition] = self._after(before, write)
        self._touch(meta_key(write.partition))
        for user in write.rows:
            self.owners[user] = write.partition
            self._touch(user)
        self.durable.update((entry.name, entry.content) for entry in write.entries)
        return True

    def deliver_late(self, index: int) -> Write:
        """Let a request arrive that nobody waits for any more, and answer it."""
        watches, write = self.late.pop(index)
        self.execute(watches, write)
        return write

    def snapshot(self) -> None:
        """Keep what is stored now."""
        self.snapshots.append((dict(self._shards), dict(self.owners)))

    def restore(self, index: int, restarts: bool, is_for_good: bool) -> None:
        """
        Go back to a snapshot: with a restart, which ends all connections, or in place, touching all keys.

        Args:
            is_for_good: the snapshots after it are lost; otherwise a later restore may go forward again.
        """
        shards, owners = self.snapshots[index]
        if is_for_good:
            del self.snapshots[index + 1 :]
        self._shards, self.owners = dict(shards), dict(owners)
        for key in [*self._versions]:
            self._touch(key)
        if restarts:
            self.starts += 1
            self.late.clear()

    def _touch(self, key: str) -> None:
        self._writes += 1
        self._versions[key] = self._writes

    def _after(self, state: ShardState, write: Write) -> ShardState:
        if write.claim is not None:
            token, earlier = write.claim
            state = state._replace(token=token, earlier=earlier, ancestry=(*state.ancestry, token))
        if write.number is not None:
            state = state._replace(number=write.number)
        if write.rows:
            left = {(user, rung) for user, rung in write.left.items() if rung is not None}
            entered = {(user, row.rung) for user, row in write.rows.items()}
            rows, cold = dict(state.rows), dict(state.cold)
            for user, row in write.rows.items():
                home, other = (cold, rows) if row.is_cold else (rows, cold)
                home[user] = row
                if write.was_cold.get(user) not in (None, row.is_cold):
                    other.pop(user, None)
            state = state._replace(rows=rows, cold=cold, audiences=state.audiences - left | entered)
        outbox = state.outbox + write.entries
        if write.trim_to is not None:
            outbox = tuple(entry for entry in outbox if entry.id > write.trim_to)
        return state._replace(
            outbox=outbox, written=state.written + write.entries, place=write.place or state.place
        )
