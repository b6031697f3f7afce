"""The commit stage of one process. This file models flows/commit.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.simulation.link import Claim, Fenced, RolledBack, ShardClient, Steps
from tests.simulation.protocol import Protocol
from tests.simulation.relay import Relay
from tests.simulation.shard import Chunk, Entry, Place, Plan
from tests.simulation.store import Write

EntryId = tuple[int, int]


@dataclass
class Account:
    """How far one owned shard is: the newest entry delivered with all before it, and the newest trimmed."""

    delivered: EntryId | None = None
    trimmed: EntryId | None = None


@dataclass
class Progress:
    """What the later stages tell the source; models flows/progress.py."""

    accounts: dict[int, Account] = field(default_factory=dict)
    fenced: dict[int, int] = field(default_factory=dict)
    """Shards that another owner took, with the turn in which we learned it."""
    rolled_back: set[int] = field(default_factory=set)
    settled: dict[int, int] = field(default_factory=dict)
    """Shards given back with nothing unwritten, with the token of our last claim."""
    is_assigned: bool = False
    turn: int = 0

    def claimed(self, partition: int) -> None:
        """Start the account of a shard that we own from now on."""
        self.released(partition)
        self.accounts[partition] = Account()

    def released(self, partition: int) -> None:
        """Close the account of a shard that is not ours any more."""
        self.accounts.pop(partition, None)
        self.fenced.pop(partition, None)
        self.rolled_back.discard(partition)

    def lost(self, partition: int) -> None:
        """Note that another owner took the shard."""
        if self.accounts.pop(partition, None) is not None:
            self.fenced[partition] = self.turn


@dataclass
class _Owned:
    claim: Claim
    place: Place


class Commit:
    """Write what each shard changed: its users in chunks, then where reading goes on."""

    def __init__(self, client: ShardClient, relay: Relay, progress: Progress, protocol: Protocol) -> None:
        self._client, self._relay, self._progress, self._protocol = client, relay, progress, protocol
        self._owned: dict[int, _Owned] = {}

    def take(self, claim: Claim) -> Steps[None]:
        """Own a shard, and publish first what lies in its outbox."""
        self._owned[claim.partition] = _Owned(claim, claim.place)
        try:
            found = yield from self._client.load_outbox(claim)
            if self._protocol.confirms_what_it_loads:
                yield from self._client.confirm(claim)
        except (Fenced, RolledBack) as error:
            self._drop(claim.partition, error)
            return
        self._forget_deliveries(claim.partition)
        if self._protocol.loads_outbox:
            self._relay.resume(claim.partition, found)

    def write(self, plan: Plan) -> Steps[None]:
        """Write a plan, unless its shard is not ours any more."""
        if owned := self._owned.get(plan.partition):
            yield from self._fenced(owned, self._write_plan(owned, plan))

    def release(self, partition: int) -> None:
        """Forget a shard that was given back."""
        if owned := self._owned.pop(partition, None):
            self._progress.settled[partition] = owned.claim.token
        self._client.forget(partition)
        self._relay.forget(partition)

    def trim(self) -> Steps[None]:
        """Take what has been published out of the outboxes that no write of late has looked after."""
        for partition, owned in list(self._owned.items()):
            account = self._progress.accounts.get(partition)
            if account and account.delivered != account.trimmed:
                yield from self._fenced(owned, self._write_place(owned, []))
            elif account and self._protocol.looks_when_quiet:
                yield from self._fenced(owned, self._look(owned))

    def _look(self, owned: _Owned) -> Steps[None]:
        yield from self._client.look(owned.claim)

    def _write_plan(self, owned: _Owned, plan: Plan) -> Steps[None]:
        if not self._protocol.publishes_after_the_write:
            self._publish_early(owned, plan)
        old, new = owned.place, plan.place
        owned.place = Place(_merged(old.offsets, new.offsets), _merged(old.marks, new.marks), new.watermark)
        if not self._protocol.writes_offsets_last:
            yield from self._write_place(owned, plan.letters)
        for chunk, following in zip(plan.chunks, [*map(_new_users, plan.chunks), []][1:], strict=True):
            yield from self._write_chunk(owned, chunk, following)
        if self._protocol.writes_offsets_last:
            yield from self._write_place(owned, plan.letters)

    def _write_chunk(self, owned: _Owned, chunk: Chunk, following: Sequence[str]) -> Steps[None]:
        new_users = _new_users(chunk)
        was_cold = chunk.was_cold if self._protocol.moves_rows_between_homes else {}
        rows = Write(owned.claim.partition, rows=chunk.rows, left=chunk.left, was_cold=was_cold)
        entries = tuple(chunk.entries)
        if self._protocol.writes_rows_with_outbox:
            yield from self._write(owned, replace(rows, entries=entries), new_users, following)
            return
        yield from self._write(owned, rows, new_users, following)
        yield from self._write(owned, Write(rows.partition, entries=entries))

    def _write_place(self, owned: _Owned, letters: Sequence[Entry]) -> Steps[None]:
        place = owned.place
        if not self._protocol.writes_marks:
            place = Place(place.offsets, (None,) * len(place.marks))
        yield from self._write(owned, Write(owned.claim.partition, entries=tuple(letters), place=place))

    def _write(
        self, owned: _Owned, write: Write, new_users: Sequence[str] = (), following: Sequence[str] = ()
    ) -> Steps[None]:
        """Write, and publish what is durable then; the next write does not wait for it."""
        account = self._progress.accounts.get(write.partition)
        trim_to = account.delivered if account and account.delivered != account.trimmed else None
        trimming = Write(**{**write.__dict__, "trim_to": trim_to})
        stored = yield from self._client.write(owned.claim, trimming, new_users, following)
        if account and trim_to:
            account.trimmed = trim_to
        if self._protocol.publishes_after_the_write:
            self._relay.publish(write.partition, stored)

    def _fenced(self, owned: _Owned, writing: Steps[None]) -> Steps[None]:
        """Write; when the shard turns out to be another's, or not as we left it, drop it."""
        partition = owned.claim.partition
        try:
            yield from writing
        except (Fenced, RolledBack) as error:
            self._drop(partition, error)

    def _publish_early(self, owned: _Owned, plan: Plan) -> None:
        pieces = [*(chunk.entries for chunk in plan.chunks), plan.letters]
        self._relay.publish(
            plan.partition,
            [
                entry._replace(id=(owned.claim.number + 1 + n, index))
                for n, piece in enumerate(pieces)
                for index, entry in enumerate(piece)
            ],
        )

    def _drop(self, partition: int, error: Exception) -> None:
        """Give up a shard that another owner took, or ask for it to be claimed anew where the store went back."""
        if isinstance(error, Fenced):
            self._progress.lost(partition)
        else:
            self._progress.rolled_back.add(partition)
        self._owned.pop(partition, None)
        self._client.forget(partition)
        self._forget_deliveries(partition)

    def _forget_deliveries(self, partition: int) -> None:
        if self._protocol.forgets_former_deliveries:
            self._relay.forget(partition)


def _new_users(chunk: Chunk) -> list[str]:
    return [user for user, rung in chunk.left.items() if rung is None]


def _merged(old: tuple[int | None, ...], new: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return tuple(before if after is None else after for before, after in zip(old, new, strict=True))
