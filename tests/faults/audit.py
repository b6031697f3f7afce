"""This file compares all that came out of a world with the reference, and counts what differs."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from scoring.policy import Policy
from tests.faults.world import DUPLICATES_PER_USER, World
from tests.integration.outcome import Outcome, expected, is_same, read_all, stored


@dataclass
class Audit:
    """
    What differs from the reference.

    Attributes:
        users: profiles that differ, are missing or should not be, and audiences that differ.
        lost: changes and dead letters that were never published.
        double: changes that nobody should have published, or with another content under the same number;
            dead letters of messages that are none.
        disorder: changes that came before the one with the number below theirs.
        repeats: messages published once more, byte for byte; consumers drop them by ce_id.
        changes: how many changes there should be.
    """

    users: int = 0
    lost: int = 0
    double: int = 0
    disorder: int = 0
    repeats: int = 0
    changes: int = 0

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was lost, doubled, misplaced or wrong."""
        return not (self.users or self.lost or self.double or self.disorder)

    def __add__(self, other: "Audit") -> "Audit":
        mine, theirs = asdict(self), asdict(other)
        return Audit(**{name: mine[name] + theirs[name] for name in mine})

    def __str__(self) -> str:
        words = ("users", "lost", "double", "disorder")
        return ", ".join(f"{getattr(self, word)} {word}" for word in words if getattr(self, word)) or "clean"


def audit(world: World, policy: Policy) -> Audit:
    """Read store and topics to their ends, and run the reference over what was sent."""
    bench = world.bench
    wanted = expected(policy, bench.sender, duplicates_per_user=DUPLICATES_PER_USER)
    found = Audit(changes=sum(len(changes) for changes in wanted.changes.values()))
    _compare_store(stored(bench.store, bench.prefix), wanted, found)
    _compare_changes(read_all(bench.kafka, bench.topics.changes), wanted, found)
    _compare_dead_letters(read_all(bench.kafka, bench.topics.dead_letters), wanted, found)
    return found


def _compare_store(here: Outcome, wanted: Outcome, found: Audit) -> None:
    found.users += len(here.profiles.keys() ^ wanted.profiles.keys())
    for user_id in here.profiles.keys() & wanted.profiles.keys():
        found.users += not is_same(here.profiles[user_id], wanted.profiles[user_id])
    for name in here.audiences.keys() | wanted.audiences.keys():
        found.users += len(here.audiences.get(name, set()) ^ wanted.audiences.get(name, set()))


def _compare_changes(messages: list[Any], wanted: Outcome, found: Audit) -> None:
    seen: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for message in messages:
        change = json.loads(message.value())
        user_id, seq = change["user_id"], change["seq"]
        known = seen[user_id]
        if seq not in known:
            found.disorder += seq != len(known) + 1
            rightful = wanted.changes.get(user_id, [])
            found.double += not (0 < seq <= len(rightful) and is_same(change, rightful[seq - 1]))
            known[seq] = change
        elif known[seq] == change:
            found.repeats += 1
        else:
            found.double += 1
    for user_id, changes in wanted.changes.items():
        found.lost += sum(number not in seen[user_id] for number in range(1, len(changes) + 1))


def _compare_dead_letters(messages: list[Any], wanted: Outcome, found: Audit) -> None:
    seen: dict[tuple[int, int, int], str] = {}
    for message in messages:
        headers = {name: value.decode() for name, value in message.headers()}
        place = 0, int(headers["partition"]), int(headers["offset"])
        if place in seen:
            found.repeats += 1
        seen[place] = headers["reason"]
    found.lost += len(wanted.dead_letters.keys() - seen.keys())
    found.double += sum(wanted.dead_letters.get(place) != reason for place, reason in seen.items())
