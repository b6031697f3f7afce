"""This file prepares, once per policy, every byte of a change's message that is not of the user or the moment."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.change_columns import LadderNames, names_of
from scoring.policy import Policy
from scoring.state import CAUSES
from sinks.arena import Arena
from sinks.change_topic import BODY_HEADERS, CHANGE_TYPE, source_of

# Fragments with fixed places, in the order of the message; those of causes and ladders follow.
(
    BEGIN,
    TO_ID,
    TO_TIME,
    TO_PARTITION_KEY,
    TO_VALUE,
    USER,
    SEQ,
    TO_RANK,
    SCORE,
    SCORE_BEHIND_ID,
    EFFECTIVE_AT,
    PREVIOUS_SINCE,
    QUOTE,
    OBJECT_END,
    FALLS_AT,
    POINTS,
    END,
) = range(17)
UP, DOWN = 0, 1
_HEADERS = 7


@dataclass(frozen=True, slots=True)
class ChangeWording:
    """
    The fragments of a message, and which one belongs where; L ladders of at most R rungs and P parts.

    Attributes:
        arena, start: fragment f is arena[start[f]:start[f + 1]].
        cause: (causes, 2, 2) by cause, direction and whether an event's id follows.
        from_rung: (L, R), to_rung: (L, R) up to the rank it left.
        next_rung: (L, R) up to the points missing, by the rung below; -1 on top.
        enter_at: (L, R) points at which a rung is entered; 0 for the lowest.
        part: (L, P, 2) a part of the score up to its value, or to the end of its name when it has none.
        parts: (L), rungs: (L) how many there are.
    """

    arena: NDArray[np.uint8]
    start: NDArray[np.int64]
    cause: NDArray[np.int64]
    from_rung: NDArray[np.int64]
    to_rung: NDArray[np.int64]
    next_rung: NDArray[np.int64]
    enter_at: NDArray[np.float64]
    part: NDArray[np.int64]
    parts: NDArray[np.int64]
    rungs: NDArray[np.int64]


def change_wording_of(policy: Policy) -> ChangeWording:
    """Word the changes of a policy as change_topic spells them, packed as sinks/outbox.py packs an entry."""
    arena, ladders = Arena(), names_of(policy)
    _add_fixed(arena, policy)
    rungs = [len(names.ladder.rungs) for names in ladders]
    parts = [len(names.features) for names in ladders]
    table = len(ladders), max(rungs, default=1)
    from_rung, to_rung, next_rung = (np.full(table, -1, np.int64) for _ in range(3))
    part = np.full((len(ladders), max(parts, default=1), 2), -1, np.int64)
    enter_at = np.zeros(table)
    cause = np.array([[_cause(arena, name, way) for way in ("up", "down")] for name in CAUSES], np.int64)
    for number, names in enumerate(ladders):
        for rank, rung in enumerate(names.ladder.rungs):
            enter_at[number, rank] = rung.enter_at
            from_rung[number, rank] = arena.add(
                b',"ladder":%b,"from":%b' % (_text(names.ladder.name), _text(rung.name))
            )
            to_rung[number, rank] = arena.add(b',"to":%b,"from_rank":' % _text(rung.name))
            if rank:
                next_rung[number, rank - 1] = arena.add(b',"next":{"rung":%b,"points":' % _text(rung.name))
        for place in range(len(names.features)):
            part[number, place] = _part(arena, names, place)
    return ChangeWording(
        *arena.arrays(),
        cause,
        from_rung,
        to_rung,
        next_rung,
        enter_at,
        part,
        np.array(parts),
        np.array(rungs),
    )


def _add_fixed(arena: Arena, policy: Policy) -> None:
    """Add the fragments with fixed places, in the order of their numbers."""
    version, content = BODY_HEADERS
    head = [version, ("ce_type", CHANGE_TYPE.encode()), content]
    source = ("ce_source", source_of(policy.label))
    arena.add(_array(4) + _packed("change"))
    arena.add(_array(_HEADERS) + b"".join(map(_packed, head)) + _array(2) + _packed("ce_id"))
    arena.add(_packed(source) + _array(2) + _packed("ce_time"))
    arena.add(_array(2) + _packed("ce_partitionkey"))
    arena.add(b"")
    for piece in (
        b'{"user_id":"',
        b'","seq":',
        b',"to_rank":',
        b',"score":',
        b'","score":',
        b',"effective_at":"',
        b'","previous_since":"',
        b'"',
        b"}",
        b',"falls_at":"',
        b',"points":',
        b'}],"policy":%b}' % _text(policy.label),
    ):
        arena.add(piece)


def _cause(arena: Arena, cause: str, way: str) -> tuple[int, int]:
    said = b',"direction":%b,"cause":%b' % (_text(way), _text(cause))
    return arena.add(said), arena.add(said + b',"cause_event_id":"')


def _part(arena: Arena, names: LadderNames, place: int) -> tuple[int, int]:
    before = b"}," if place else b',"why":['
    named = before + b'{"feature":%b' % _text(names.features[place])
    return arena.add(named + b',"value":'), arena.add(named)


def _text(text: str) -> bytes:
    return msgspec.json.encode(text)


def _array(size: int) -> bytes:
    return bytes([0x90 | size])


def _packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)
