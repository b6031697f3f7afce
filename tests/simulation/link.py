"""One owner's side of the store. This file models sinks/shard_link.py, sinks/shard_write.py and sinks/shard_store.py.

Every yield is a point at which the process may die, be stopped, or be overtaken by others.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from tests.simulation.protocol import Protocol, Violation
from tests.simulation.shard import Entry, Place, Row
from tests.simulation.store import ShardState, Store, Write, meta_key

Answer = TypeVar("Answer")
Steps = Generator[object, None, Answer]
ROWS_PER_PAGE = 2


class LinkBroken(Exception):
    """No answer: whether the last request had an effect is unknown."""


class Fenced(Exception):
    """Another owner has claimed the shard."""


class RolledBack(Exception):
    """The store is not where we left it."""


class NotCopartitioned(Exception):
    """A user belongs to another shard."""


class Guard(NamedTuple):
    """What the meta hash held after the watch on it began."""

    token: int | None
    number: int


@dataclass
class Claim:
    """A shard as it was found when we took it; number is that of our last write."""

    partition: int
    token: int
    number: int
    place: Place
    earlier: tuple[int, ...]
    ancestry: tuple[int, ...]
    """For the checker: every token that this store had before ours."""


class Network:
    """What will happen to the next write of one process: nothing, or a loss."""

    def __init__(self) -> None:
        self.fate = "ok"
        self.has_failed = False

    def take(self) -> str:
        """Answer the fate of one request: "ok", "request lost", "answer lost" or "late"."""
        fate, self.fate = self.fate, "ok"
        self.has_failed |= fate != "ok"
        return fate


class Link:
    """A connection that watches one shard's meta hash."""

    def __init__(self, store: Store, partition: int, network: Network) -> None:
        self._store, self._partition, self._network = store, partition, network
        self.drop()

    def drop(self) -> None:
        """Close the connection; the next use opens another."""
        self._start: int | None = None
        self._guard: Guard | None = None
        self._watches: dict[str, int] = {}
        self._absent: Sequence[str] = ()
        """Users under the watch whom nobody owned when it began."""

    def read(self, what: str) -> Steps[ShardState]:
        """Ask for keys of the shard."""
        yield f"asks for {what} of shard {self._partition}"
        self._connect()
        return self._store.shard(self._partition)

    def watch_all(self) -> Steps[ShardState]:
        """Begin a watch and read everything under it."""
        self._guard = None
        state = yield from self.read("meta")
        self._watch(meta_key(self._partition))
        return state

    def look(self, users: Sequence[str]) -> Steps[tuple[Guard, list[int | None]]]:
        """Watch meta and these profiles; answer the guard and the owner of each."""
        if self._guard is not None and users and users == self._absent:
            return self._guard, [None] * len(users)
        if self._guard is None or users:
            state = yield from self.read("guard")
            if self._guard is None:
                self._watch(meta_key(self._partition))
                self._guard = Guard(state.token, state.number)
        for user in users:
            self._watch(user)
        return self._guard, [self._store.owners.get(user) for user in users]

    def transact(self, write: Write, is_watching: bool = True, following: Sequence[str] = ()) -> Steps[bool]:
        """
        Send a write; False, with nothing written, when a watched key was touched.

        Behind it the shard and the users whom the next write will make are watched and looked at.
        """
        self._guard = None
        yield write
        self._connect()
        watches = self._watches if is_watching else {}
        fate = self._network.take()
        if fate == "late":
            self._store.late.append((watches, write))
        if fate in ("late", "request lost"):
            raise LinkBroken
        is_done = self._store.execute(watches, write)
        if fate == "answer lost":
            raise LinkBroken
        self._watches = {}
        for key in (meta_key(self._partition), *following):
            self._watch(key)
        is_absent = not any(self._store.owners.get(user) is not None for user in following)
        state = self._store.shard(self._partition)
        self._guard, self._absent = Guard(state.token, state.number), following if is_absent else ()
        yield "hears that it was done" if is_done else "hears that it was refused"
        return is_done

    def is_untouched(self) -> Steps[bool]:
        """Send an empty transaction: it fails when a watched key was touched."""
        self._guard = None
        yield "asks whether anything has happened"
        self._connect()
        watches, self._watches = self._watches, {}
        return all(self._store.version(key) == version for key, version in watches.items())

    def _connect(self) -> None:
        if self._start is None:
            self._start = self._store.starts
        elif self._start != self._store.starts:
            raise LinkBroken

    def _watch(self, key: str) -> None:
        self._watches.setdefault(key, self._store.version(key))


class ShardClient:
    """Claim, load and write shards."""

    def __init__(self, store: Store, network: Network, protocol: Protocol, new_token: "Tokens") -> None:
        self._store, self._network, self._protocol, self._new_token = store, network, protocol, new_token
        self._links: dict[int, Link] = {}

    def claim(self, partition: int) -> Steps[Claim]:
        """Take a shard: any earlier owner's next write is fenced."""
        while True:
            link = self._link(partition)
            try:
                found = yield from link.watch_all()
                token, earlier = self._new_token(), found.earlier
                if found.token is not None:
                    earlier = (found.token, *earlier)
                if (yield from link.transact(Write(partition, claim=(token, earlier)))):
                    known = earlier if self._protocol.remembers_earlier_tokens else ()
                    return Claim(partition, token, found.number, found.place, known, found.ancestry)
            except LinkBroken:
                pass
            link.drop()

    def load_rows(self, claim: Claim) -> Steps[dict[str, Row]]:
        """Read the rows of whom time can change, page by page: others may write between two pages."""
        rows: dict[str, Row] = {}
        page = 0
        while True:
            state = yield from self._link(claim.partition).read(f"rows, page {page}")
            users = sorted(state.rows)[ROWS_PER_PAGE * page :]
            rows.update({user: state.rows[user] for user in users[:ROWS_PER_PAGE]})
            if len(users) <= ROWS_PER_PAGE:
                return rows
            page += 1

    def find_cold(self, claim: Claim, settled: int, users: Sequence[str]) -> Steps[dict[str, Row]]:
        """Read users back in one moment of the store, unless it is not ours, or back before they were written."""
        yield f"asks for cold rows of shard {claim.partition}"
        state = self._store.shard(claim.partition)
        if self._protocol.looks_where_cold_rows_are_from:
            self._refuse_older_state(claim, Guard(state.token, state.number), settled)
        return {user: state.cold[user] for user in users if user in state.cold}

    def load_outbox(self, claim: Claim) -> Steps[list[Entry]]:
        """Read the entries that are not trimmed."""
        state = yield from self._link(claim.partition).read("outbox")
        return list(state.outbox)

    def confirm(self, claim: Claim) -> Steps[None]:
        """Raise unless nobody has touched the shard since it was claimed."""
        link = self._link(claim.partition)
        if not (yield from link.is_untouched()):
            guard, _ = yield from link.look(())
            self._refuse_other_state(claim, guard)
            raise RolledBack

    def look(self, claim: Claim) -> Steps[None]:
        """Look at the fence without a write."""
        try:
            guard, _ = yield from self._fresh_link(claim.partition).look(())
        except LinkBroken:
            self.forget(claim.partition)
            return
        self._refuse_other_state(claim, guard)

    def write(
        self, claim: Claim, write: Write, new_users: Sequence[str] = (), following: Sequence[str] = ()
    ) -> Steps[list[Entry]]:
        """Send a write until it is known to have happened exactly once, or raise; answer its entries with ids."""
        number = claim.number + 1
        entries = tuple(entry._replace(id=(number, index)) for index, entry in enumerate(write.entries))
        yield from self._write_once(
            claim, replace(write, number=number, entries=entries), new_users, following
        )
        claim.number = number
        return list(entries)

    def forget(self, partition: int) -> None:
        """Close the connection of a shard."""
        self._links.pop(partition, None)

    def _write_once(
        self, claim: Claim, write: Write, new_users: Sequence[str], following: Sequence[str]
    ) -> Steps[None]:
        link, protocol = self._link(claim.partition), self._protocol
        is_in_doubt = False
        while True:
            is_sent = False
            try:
                if is_in_doubt and not protocol.looks_before_repeating:
                    yield from link.transact(write, is_watching=False)
                    return
                guard, owners = yield from link.look(new_users)
                if is_in_doubt and self._is_ours(guard, claim) and guard.number == write.number:
                    return
                self._refuse_other_state(claim, guard)
                self._refuse_other_owner(claim.partition, owners)
                is_sent = True
                if (yield from link.transact(write, protocol.writes_under_a_watch, following)):
                    return
            except LinkBroken:
                is_in_doubt |= is_sent
                link.drop()
                if is_in_doubt and protocol.takes_doubt_for_done:
                    return

    def _is_ours(self, guard: Guard, claim: Claim) -> bool:
        return guard.token == claim.token or not self._protocol.compares_token

    def _refuse_other_state(self, claim: Claim, guard: Guard) -> None:
        is_ahead = claim.number > guard.number
        self._refuse_older_state(claim, guard, None)
        if guard.number != claim.number and (self._protocol.compares_number_for_equality or not is_ahead):
            raise RolledBack

    def _refuse_older_state(self, claim: Claim, guard: Guard, number: int | None) -> None:
        if guard.token is None or (guard.token in claim.earlier and self._protocol.compares_token):
            raise RolledBack
        if not self._is_ours(guard, claim):
            if guard.token in claim.ancestry:
                raise Violation("a store that was rolled back is taken for a fence")
            raise Fenced
        if number is not None and guard.number < number:
            raise RolledBack

    def _refuse_other_owner(self, partition: int, owners: Sequence[int | None]) -> None:
        if self._protocol.looks_for_other_shards and any(owner not in (None, partition) for owner in owners):
            raise NotCopartitioned

    def _link(self, partition: int) -> Link:
        if partition not in self._links:
            self._links[partition] = Link(self._store, partition, self._network)
        return self._links[partition]

    def _fresh_link(self, partition: int) -> Link:
        self.forget(partition)
        return self._link(partition)


class Tokens:
    """Give tokens that nobody has had."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        """Answer the next one."""
        self._last += 1
        return self._last
