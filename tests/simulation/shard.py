"""The scoring of one shard, as small as the commit protocol lets it be. This file models scoring/shard.py.

A user's state is the story of what was decided for him, so that two equal rows have equal pasts. Some events
are loud: they make a change, and a deadline at which the user falls, which is a change too.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.protocol import REAL, Protocol

FALLS_AFTER = 10
OUT_OF_ORDERNESS = 3
NO_OFFSET = -1


class Message(NamedTuple):
    """
    One message of an input topic.

    kind: "loud", "quiet", "refused" (a dead letter of a known user) or "broken" (a dead letter of nobody).
    """

    topic: int
    partition: int
    offset: int
    user: str
    time: int
    kind: str

    @property
    def name(self) -> str:
        """Name the message as a story does."""
        return f"{'abc'[self.topic]}{self.partition}@{self.offset}"


class Row(NamedTuple):
    """What is known of a user; offsets: per topic, of the last message decided for him."""

    offsets: tuple[int, ...]
    story: tuple[str, ...] = ()
    seq: int = 0
    as_of: int = 0
    due: int | None = None
    rung: int = 0

    @property
    def is_cold(self) -> bool:
        """Tell whether only a message can change the user."""
        return self.due is None


class Entry(NamedTuple):
    """
    One message to publish.

    name: the id that subscribers drop repeats by; content: what they read.
    id: write number and index, given by the store.
    """

    name: str
    user: str
    content: tuple[str, ...]
    id: tuple[int, int] = (0, 0)


class Place(NamedTuple):
    """Where reading goes on, and how far time is; per topic, None before the first message."""

    offsets: tuple[int | None, ...]
    marks: tuple[int | None, ...]
    watermark: int | None = None


@dataclass
class Chunk:
    """
    Users that are written in one step, with their entries.

    left: the rung the store has, by user; was_cold: whether it has the row among the cold ones. None for nothing.
    """

    rows: dict[str, Row]
    entries: list[Entry]
    left: dict[str, int | None]
    was_cold: dict[str, bool | None]


@dataclass
class Plan:
    """All that a shard changed; `letters` belong to no stored user and ride with the place."""

    partition: int
    chunks: list[Chunk]
    letters: list[Entry]
    place: Place


@dataclass
class Shard:
    """Users and waiting messages of one partition number, in memory."""

    partition: int
    topics: int
    protocol: Protocol = REAL
    rows: dict[str, Row] = field(default_factory=dict)
    stored_rung: dict[str, int] = field(default_factory=dict)
    stored_cold: dict[str, bool] = field(default_factory=dict)
    watermark: int | None = None

    def __post_init__(self) -> None:
        self.queues: list[deque[Message]] = [deque() for _ in range(self.topics)]
        self.next_offset: list[int | None] = [None] * self.topics
        self.marks: list[int | None] = [None] * self.topics
        self._dirty: dict[str, None] = {}
        self._entries: list[Entry] = []
        self._moved = False

    def restore(self, user: str, row: Row) -> None:
        """Take a stored user back."""
        self.rows[user], self.stored_rung[user], self.stored_cold[user] = row, row.rung, row.is_cold

    def let_go(self) -> list[str]:
        """Forget who is cold, stored, and has no message waiting; answer whom."""
        waiting = {message.user for queue in self.queues for message in queue}
        gone = [user for user, row in self.rows.items() if row.is_cold and user not in waiting]
        if self.protocol.keeps_who_is_not_stored:
            gone = [user for user in gone if user not in self._dirty]
        for user in gone:
            del self.rows[user]
            self._dirty.pop(user, None)
            self.stored_rung.pop(user, None)
            self.stored_cold.pop(user, None)
        return gone

    def resume(self, place: Place) -> None:
        """Go on from committed marks and watermark."""
        self.marks, self.watermark = list(place.marks), place.watermark

    def pending(self) -> int:
        """Count the messages that wait for another topic."""
        return sum(map(len, self.queues))

    def add(self, messages: Sequence[Message]) -> list[str]:
        """Queue messages of one topic, in offset order; answer whom the store may have among its cold users."""
        if messages:
            self.queues[messages[0].topic].extend(messages)
        return sorted({one.user for one in messages if one.kind != "broken"} - self.rows.keys())

    def advance(self, at_end: Sequence[bool]) -> None:
        """Decide what can be ordered: the topic with the lowest mark goes first, none may be missing."""
        while (topic := self._next_topic(at_end)) is not None:
            message = self.queues[topic].popleft()
            self.next_offset[topic] = message.offset + 1
            self._moved = True
            self._decide(message)
            if message.kind != "broken":
                self._move_time(message)

    def fire(self, now: int | None = None) -> None:
        """Work off every deadline that the watermark has passed, or in silence the clock."""
        if now is not None:
            self.watermark = max(_mark(self.watermark), now - OUT_OF_ORDERNESS)
        if self.watermark is not None:
            for user, row in self.rows.items():
                self._keep(user, row, self._fallen(user, row, self.watermark))

    def take_commit(self, chunk_users: int) -> Plan | None:
        """Answer what changed since the last call; the store is taken to hold it from now on."""
        if not (self._moved or self._dirty or self._entries):
            return None
        users = list(self._dirty)
        chunks = [self._chunk(users[n : n + chunk_users]) for n in range(0, len(users), chunk_users)]
        letters = [entry for entry in self._entries if entry.user not in self._dirty]
        place = Place(tuple(self.next_offset), tuple(self.marks), self.watermark)
        self._dirty, self._entries, self._moved = {}, [], False
        return Plan(self.partition, chunks, letters, place)

    def _chunk(self, users: list[str]) -> Chunk:
        rows = {user: self.rows[user] for user in users}
        left = {user: self.stored_rung.get(user) for user in users}
        was_cold = {user: self.stored_cold.get(user) for user in users}
        self.stored_rung.update({user: row.rung for user, row in rows.items()})
        self.stored_cold.update({user: row.is_cold for user, row in rows.items()})
        entries = [entry for user in users for entry in self._entries if entry.user == user]
        return Chunk(rows, entries, left, was_cold)

    def _next_topic(self, at_end: Sequence[bool]) -> int | None:
        chosen = None
        for topic, queue in enumerate(self.queues):
            if not queue:
                if not at_end[topic]:
                    return None
            elif chosen is None or _mark(self.marks[topic]) < _mark(self.marks[chosen]):
                chosen = topic
        return chosen

    def _move_time(self, message: Message) -> None:
        self.marks[message.topic] = max(_mark(self.marks[message.topic]), message.time)
        if None not in self.marks:
            lowest = min(map(_mark, self.marks)) - OUT_OF_ORDERNESS
            self.watermark = max(_mark(self.watermark), lowest)

    def _decide(self, message: Message) -> None:
        if message.kind == "broken":
            self._entries.append(_letter(message))
            return
        row = self.rows.get(message.user, Row((NO_OFFSET,) * self.topics))
        is_seen = message.offset <= row.offsets[message.topic]
        moved = row._replace(offsets=_replaced(row.offsets, message.topic, message.offset))
        if is_seen and self.protocol.checks_row_offset:
            if not self.protocol.row_offset_only_rises:
                self.rows[message.user] = moved
            return
        if message.kind == "refused":
            self._entries.append(_letter(message))
            after = moved if self.protocol.row_offset_moves_with_refused else row
            if row.story:
                self._keep(message.user, row, after)
            else:  # Nobody yet: not stored, so the letter rides with the place.
                self.rows[message.user] = after
            return
        until = max(_mark(self.watermark), message.time)
        self._keep(message.user, row, self._applied(message, self._fallen(message.user, moved, until)))

    def _applied(self, message: Message, row: Row) -> Row:
        as_of = max(row.as_of, message.time)
        if message.kind == "quiet":
            due = row.due if row.due is None else max(row.due, as_of + FALLS_AFTER)
            return row._replace(story=(*row.story, message.name), as_of=as_of, due=due)
        row = row._replace(as_of=as_of, due=as_of + FALLS_AFTER, rung=row.rung + 1)
        return self._changed(message.user, row, f"{message.name}!")

    def _fallen(self, user: str, row: Row, until: int) -> Row:
        if row.due is None or row.due > until:
            return row
        return self._changed(user, row._replace(as_of=row.due, due=None, rung=0), f"fall {row.due}!")

    def _changed(self, user: str, row: Row, what: str) -> Row:
        row = row._replace(story=(*row.story, what), seq=row.seq + 1)
        self._entries.append(Entry(f"{user}:{row.seq}", user, row.story))
        return row

    def _keep(self, user: str, before: Row, after: Row) -> None:
        self.rows[user] = after
        if after is not before:
            self._dirty[user] = None


def changes_of(user: str, story: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """List the names and contents of the changes that a story tells."""
    ends = [n + 1 for n, what in enumerate(story) if what.endswith("!")]
    return [(f"{user}:{seq}", story[:end]) for seq, end in enumerate(ends, 1)]


def _letter(message: Message) -> Entry:
    return Entry(f"dead {message.name}", message.user, (message.kind,))


def _mark(mark: int | None) -> int:
    return -1_000 if mark is None else mark


def _replaced(offsets: tuple[int, ...], topic: int, offset: int) -> tuple[int, ...]:
    return (*offsets[:topic], offset, *offsets[topic + 1 :])
