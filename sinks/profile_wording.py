"""This file prepares, once per policy, every byte of a profile that does not depend on the user."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.policy import Ladder, Policy
from sinks.arena import Arena
from sinks.hash_dump import items
from sinks.keyspace import PROFILE_VERSION, Keyspace, ladder_fields

NONE = -1
# Fragments with fixed places; those of ladders follow.
HSET, HDEL, SADD, SREM, USER_KEY, ROWS_KEY, COLD_KEY, TAGS, RETIRED_FIELDS, RESTORE, FOR_GOOD, REPLACE = (
    range(12)
)
# Columns of Wording.ladders: how many rungs, 1 for a tag, fragments with the names of fields.
RUNGS, IS_TAG, SCORE, TO_NEXT, FALLS_AT, NEXT_NAMES = range(6)
# Columns of a CommitChunk that are fields of every user as they are; `spend` has decimals. The first few may
# differ with the same `seq`.
NUMBER_COLUMNS = ("as_of_ms", "last_seen_ms", "orders", "spend_minor", "seq", "first_seen_ms")
MOVING_NUMBERS = 4
CONSTANT_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Wording:
    """
    The fragments of rendered commands, and which one belongs where; L ladders of at most R rungs.

    Attributes:
        arena, start: fragment f is arena[start[f]:start[f + 1]].
        items, items_start: the same fragments, where they are names and values of profiles, as items of a listpack.
        ladders: (L, 6) see above; NEXT_NAMES holds the names of both `L.next` and `L.to_next`.
        rung_text: (L, R) fields `L`, `L.rank`, then `L.next` unless it is the top, then the name of since_ms.
        enter_at: (L, R) points at which a rung is entered.
        audience: (L, R) the key of a set, NONE where there is none.
        tags: (T, 2) ladder and bare name of each tag, by name.
        numbers: (k, 2) fragment before each of NUMBER_COLUMNS, and how many decimals it has.
        retired_sets: (K, 3) a set that a user of the former policy may be in: its key, and the ladder and
            rung of this policy that have the same key, NONE if none has.
        retired_field_count: how many names the fragment RETIRED_FIELDS holds.
    """

    arena: NDArray[np.uint8]
    start: NDArray[np.int64]
    items: NDArray[np.uint8]
    items_start: NDArray[np.int64]
    ladders: NDArray[np.int64]
    rung_text: NDArray[np.int64]
    enter_at: NDArray[np.float64]
    audience: NDArray[np.int64]
    tags: NDArray[np.int64]
    numbers: NDArray[np.int64]
    retired_sets: NDArray[np.int64]
    retired_field_count: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Answer how long each fragment is."""
        return np.diff(self.start)


def bulk(*words: str | bytes) -> bytes:
    """Render words as Redis bulk strings."""
    raw = [word.encode() if isinstance(word, str) else word for word in words]
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


def wording_of(policy: Policy, keys: Keyspace, partition: int, former: Policy | None) -> Wording:
    """Word a policy for one shard; `former` is the policy the store's profiles are worded by, if another."""
    arena = Arena()
    retired_fields = sorted(_fields(former) - _fields(policy)) if former else []
    _add_fixed(arena, keys, partition, retired_fields)
    shape = len(policy.ladders), max((len(ladder.rungs) for ladder in policy.ladders), default=1)
    rung_text, audience, enter_at = _table(shape), _table(shape), np.zeros(shape)
    for number, ladder in enumerate(policy.ladders):
        for rank, rung in enumerate(ladder.rungs):
            enter_at[number, rank] = rung.enter_at
            if _has_audience(ladder, rank):
                audience[number, rank] = arena.add(bulk(keys.audience(ladder.name, rung.name)))
            if not ladder.tag:
                rung_text[number, rank] = _add_words(arena, *_rung_words(ladder, rank))
    ladders = [_ladder_row(arena, ladder) for ladder in policy.ladders]
    tags = sorted((ladder.name, number) for number, ladder in enumerate(policy.ladders) if ladder.tag)
    tag_rows = [(number, arena.add(name.encode())) for name, number in tags]
    places = _audiences(policy, keys)
    # Ours too: after a crash in the middle of a policy change some users have been in our sets already.
    known_sets = _audiences(former, keys) | places if former else {}
    retired_sets = [(arena.add(bulk(key)), *places.get(key, (NONE, NONE))) for key in known_sets]
    numbers = _number_rows(arena, policy, partition)
    (buffer, start), (item_buffer, items_start) = arena.arrays(), arena.other_arrays()
    return Wording(
        arena=buffer,
        start=start,
        items=item_buffer,
        items_start=items_start,
        ladders=_rows(ladders, 6),
        rung_text=rung_text,
        enter_at=enter_at,
        audience=audience,
        tags=_rows(tag_rows, 2),
        numbers=_rows(numbers, 2),
        retired_sets=_rows(retired_sets, 3),
        retired_field_count=len(retired_fields),
    )


def _add_fixed(arena: Arena, keys: Keyspace, partition: int, retired_fields: Iterable[str]) -> None:
    """Add the fragments with fixed places, in the order of their numbers."""
    for command in ("HSET", "HDEL", "SADD", "SREM"):
        arena.add(bulk(command))
    arena.add(keys.user_prefix)
    arena.add(bulk(keys.rows(partition)))
    arena.add(bulk(keys.cold(partition)))
    _add_words(arena, "tags")
    arena.add(bulk(*retired_fields))
    arena.add(bulk("RESTORE"))
    arena.add(bulk("0"))
    arena.add(bulk("REPLACE"))


def _add_words(arena: Arena, *words: str) -> int:
    """Add names and values as they stand in a profile, in both spellings."""
    return arena.add(bulk(*words), items(*words))


def _number_rows(arena: Arena, policy: Policy, partition: int) -> list[tuple[int, int]]:
    """Name the user's numbers; the fields that are the same for all users stand before the first that stays."""
    constants = ("policy", policy.label, "v", PROFILE_VERSION, "shard", str(partition))
    rows = []
    for number, column in enumerate(NUMBER_COLUMNS):
        name = "spend" if column == "spend_minor" else column
        places = policy.minor_digits if column == "spend_minor" else 0
        before = constants if number == MOVING_NUMBERS else ()
        rows.append((_add_words(arena, *before, name), places))
    return rows


def _rung_words(ladder: Ladder, rank: int) -> list[str]:
    words = [ladder.name, ladder.rungs[rank].name, f"{ladder.name}.rank", str(rank)]
    if rank + 1 < len(ladder.rungs):
        words += [f"{ladder.name}.next", ladder.rungs[rank + 1].name]
    return [*words, f"{ladder.name}.since_ms"]


def _ladder_row(arena: Arena, ladder: Ladder) -> list[int]:
    """Add what a ladder's fields are called; answers its row of Wording.ladders."""

    def name(*endings: str) -> int:
        return _add_words(arena, *(f"{ladder.name}.{ending}" for ending in endings))

    names = [name("score"), name("to_next"), name("falls_at_ms"), name("next", "to_next")]
    return [len(ladder.rungs), int(ladder.tag), *names]


def _fields(policy: Policy) -> set[str]:
    return {field for ladder in policy.ladders if not ladder.tag for field in ladder_fields(ladder.name)}


def _has_audience(ladder: Ladder, rank: int) -> bool:
    """Tell whether a rung has a set: of a tag only `on` has one."""
    return not ladder.tag or rank == 1


def _audiences(policy: Policy, keys: Keyspace) -> dict[bytes, tuple[int, int]]:
    """Answer the keys of a policy's audience sets with the rung each belongs to."""
    return {
        keys.audience(ladder.name, rung.name): (number, rank)
        for number, ladder in enumerate(policy.ladders)
        for rank, rung in enumerate(ladder.rungs)
        if _has_audience(ladder, rank)
    }


def _table(shape: tuple[int, int]) -> NDArray[np.int64]:
    return np.full(shape, NONE, dtype=np.int64)


def _rows(rows: Iterable[Iterable[int]], columns: int) -> NDArray[np.int64]:
    return np.array([list(row) for row in rows], dtype=np.int64).reshape(-1, columns)
