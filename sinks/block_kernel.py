"""This file holds the kernel that renders a block of chunks, each whole in itself, one behind the other."""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from scoring.borrowing import borrowing_kernel
from sinks.profile_kernel import fill_moving, fill_rest, render_moves, render_profiles, render_rows
from sinks.profile_wording import RETIRED_FIELDS
from sinks.resp_text import put_bytes

I64 = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class Words(NamedTuple):
    """What is the same for every block: of profile_wording.Wording, and the moves of render_moves."""

    arena: Bytes
    start: I64
    items: Bytes
    items_start: I64
    numbers: I64
    ladders: I64
    rung_text: I64
    enter_at: NDArray[np.float64]
    tags: I64
    moves: I64


class Columns(NamedTuple):
    """A block's users, as in CommitChunk; `numbers` as in fill_moving, `known_rung` as in render_moves."""

    user_bytes: Bytes
    user_start: I64
    row_bytes: Bytes
    row_start: I64
    numbers: I64
    whole: NDArray[np.bool_]
    rung: NDArray[np.int8]
    known_rung: NDArray[np.int8]
    since_ms: I64
    score: NDArray[np.float64]
    falls_at_ms: I64
    home: NDArray[np.int8]
    committed_home: NDArray[np.int8]


class Scratch(NamedTuple):
    """Room for the largest chunk: of fill_moving, render_rows, render_moves and render_profiles."""

    slots: I64
    ends: I64
    ids: I64
    movers: I64
    dump: Bytes


_BYTES, _INTS, _RANKS = types.uint8[::1], types.int64[::1], types.int8[:, ::1]
_TABLE, _POINTS = types.int64[:, ::1], types.float64[:, ::1]
WORDS = types.NamedTuple(
    [_BYTES, _INTS, _BYTES, _INTS, _TABLE, _TABLE, _TABLE, _POINTS, _TABLE, _TABLE], Words
)
COLUMNS = types.NamedTuple(
    [
        *(_BYTES, _INTS, _BYTES, _INTS),
        *(_TABLE, types.boolean[::1], _RANKS, _RANKS, _TABLE, _POINTS, _TABLE),
        *(types.int8[::1], types.int8[::1]),
    ],
    Columns,
)
SCRATCH = types.NamedTuple([types.int64[:, :, ::1], _TABLE, _TABLE, _INTS, _BYTES], Scratch)


@borrowing_kernel(types.void(_BYTES, WORDS, COLUMNS, SCRATCH, _INTS, _BYTES, _INTS, types.int64, _TABLE))
def render_block(out, words, columns, scratch, chunk_start, tail, tail_start, retired_count, found):
    """
    Render for each chunk its rows, profiles and moves, and what its end is.

    Args:
        chunk_start: int64 (chunks + 1), chunk n has the users chunk_start[n] to chunk_start[n + 1].
        tail, tail_start: the command at the end of chunk n is tail[tail_start[n]:tail_start[n + 1]], or nothing.
        retired_count: as in render_profiles.
        found: int64 (chunks, 3), set to where each chunk begins and ends in `out`, and how many commands it has.
    """
    arena, start, slots, ends, ids = words.arena, words.start, scratch.slots, scratch.ends, scratch.ids
    at = 0
    for chunk in range(found.shape[0]):
        first, last = chunk_start[chunk], chunk_start[chunk + 1]
        found[chunk, 0] = at
        user_start, rung = columns.user_start[first : last + 1], columns.rung[first:last]
        known_rung, whole = columns.known_rung[first:last], columns.whole[first:last]
        numbers, falls_at_ms = columns.numbers[first:last], columns.falls_at_ms[first:last]
        at, rows = render_rows(
            out,
            at,
            arena,
            start,
            columns.user_bytes,
            user_start,
            columns.row_bytes,
            columns.row_start[first : last + 1],
            columns.home[first:last],
            columns.committed_home[first:last],
            ids,
        )
        fill_moving(
            slots,
            ends,
            numbers,
            words.numbers,
            words.ladders,
            words.enter_at,
            rung,
            columns.score[first:last],
            falls_at_ms,
        )
        fill_rest(
            slots,
            ends,
            whole,
            numbers,
            words.numbers,
            words.ladders,
            words.rung_text,
            rung,
            columns.since_ms[first:last],
            falls_at_ms,
        )
        at, profiles = render_profiles(
            out,
            at,
            arena,
            start,
            words.items,
            words.items_start,
            scratch.dump,
            slots,
            ends,
            whole,
            columns.committed_home[first:last],
            columns.user_bytes,
            user_start,
            words.tags,
            rung,
            RETIRED_FIELDS,
            retired_count,
        )
        movers = 0
        for user in range(last - first):
            is_mover = False
            for ladder in range(rung.shape[1]):
                is_mover |= rung[user, ladder] != known_rung[user, ladder]
            if is_mover:
                scratch.movers[movers] = user
                movers += 1
        at, moves = render_moves(
            out, at, arena, start, ids, words.moves, scratch.movers[:movers], rung, known_rung
        )
        at = put_bytes(out, at, tail, tail_start[chunk], tail_start[chunk + 1])
        found[chunk, 1] = at
        found[chunk, 2] = rows + profiles + moves + (tail_start[chunk + 1] > tail_start[chunk])
