"""This file chooses what a replay sends: each message once, as it was set aside last, if it can be sent at all."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from flows.dead_letters.letter import Letter, Place

ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    """Know where messages may go back to: the input topics, with their numbers of partitions."""

    partitions: Mapping[str, int]

    def refusal(self, letter: Letter) -> str | None:
        """Answer why a dead letter cannot be sent again; None when it can."""
        source = letter.source
        if source is None:
            return "without headers that say where it came from"
        if source.topic not in self.partitions:
            return "not of an input topic"
        if source.partition >= self.partitions[source.topic]:
            return "of a partition that its topic does not have"
        if letter.original_size is not None:
            return "cut, so not the original bytes"
        if letter.attempt >= ATTEMPTS_MAX:
            return f"replayed {ATTEMPTS_MAX} times already"
        return None


@dataclass(slots=True)
class Chosen:
    """Hold the dead letters to send, how many were refused by why, and how many others have the same bytes."""

    places: set[Place] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    repeats: int = 0


class _Newest(NamedTuple):
    copies: int
    attempt: int
    place: Place
    reason: str
    refusal: str | None


def choose(letters: Iterable[Letter], inputs: Inputs, reasons: Collection[str]) -> Chosen:
    """
    Choose among all dead letters of the topic.

    The same bytes, and headers of an event, in the same partition are the same event. Of those the last attempt
    stands for all: one that was replayed and came back is not sent again as what it had been before.

    Args:
        reasons: take only those; all when there are none.
    """
    newest: dict[bytes, _Newest] = {}
    for letter in letters:
        name = _name(letter)
        found = _Newest(1, letter.attempt, letter.place, letter.reason, inputs.refusal(letter))
        if known := newest.get(name):
            copies = known.copies + 1
            found = (known if known.attempt > found.attempt else found)._replace(copies=copies)
        newest[name] = found
    chosen = Chosen()
    for one in newest.values():
        if reasons and one.reason not in reasons:
            continue
        chosen.repeats += one.copies - 1
        if one.refusal is None:
            chosen.places.add(one.place)
        else:
            chosen.refused[one.refusal] += 1
    return chosen


def _name(letter: Letter) -> bytes:
    """Name a message by what it is and where it belongs."""
    source = letter.source
    where = f"{source.topic}/{source.partition}" if source else str(letter.place)
    around = repr((where, letter.event_headers)).encode()
    return blake2b(letter.value, digest_size=16, key=blake2b(around, digest_size=16).digest()).digest()
