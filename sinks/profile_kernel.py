"""
This file holds the kernels that render a chunk of users as Redis commands.

They share a buffer, `out`, and each answers where it stopped. `arena, start` are the fragments of
profile_wording: fragment f is arena[start[f]:start[f + 1]]. No kernel checks the end of the buffer:
profile_encoder bounds the size from above before it calls them.
"""

import numpy as np

from scoring.borrowing import borrowing, borrowing_kernel, inlined
from scoring.commit_plan import COLD, NOWHERE, WARM
from sinks import profile_wording as words
from sinks.hash_dump import ITEMS_AT, put_dump_around, put_item_end, put_number_item, put_text_head
from sinks.keyspace import ABSENT_MS, POINTS_MAX, POINTS_SCALE
from sinks.resp_text import (
    COMMA,
    DOLLAR,
    POINTS_FORM,
    STAR,
    put_bulk,
    put_bytes,
    put_end,
    put_head,
    put_number,
)

HSET, HDEL, SADD, SREM = words.HSET, words.HDEL, words.SADD, words.SREM
USER_KEY, ROWS_KEY, COLD_KEY, TAGS = words.USER_KEY, words.ROWS_KEY, words.COLD_KEY, words.TAGS
RUNGS, IS_TAG, SCORE, TO_NEXT = words.RUNGS, words.IS_TAG, words.SCORE, words.TO_NEXT
MOVING_NUMBERS, CONSTANT_FIELDS = words.MOVING_NUMBERS, words.CONSTANT_FIELDS
RESTORE, FOR_GOOD, REPLACE = words.RESTORE, words.FOR_GOOD, words.REPLACE
FALLS_AT, NEXT_NAMES = words.FALLS_AT, words.NEXT_NAMES
POINTS_CEILING = 9e18
TEXT_ONLY = -1
LEAVE, RETIRE, ENTER = 0, 1, 2


@inlined
def put_fragment(out, at, arena, start, fragment):
    """Copy a prepared fragment."""
    return put_bytes(out, at, arena, start[fragment], start[fragment + 1])


@inlined
def fill(slots, user, slot, fragment, units, form):
    """Set one slot; answers the next."""
    slots[user, slot, 0] = fragment
    slots[user, slot, 1] = units
    slots[user, slot, 2] = form
    return slot + 1


@inlined
def fill_points(slots, user, slot, fragment, points):
    """Set a slot to points, the way sinks.keyspace.points_text writes them."""
    if abs(points) >= POINTS_MAX:
        units, form = np.int64(np.rint(min(max(points, -POINTS_CEILING), POINTS_CEILING))), 0
    else:
        units, form = np.int64(np.rint(points * POINTS_SCALE)), POINTS_FORM
    return fill(slots, user, slot, fragment, units, form)


@borrowing_kernel(
    "void(int64[:,:,::1], int64[:,::1], int64[:,::1], int64[:,::1], int64[:,::1], float64[:,::1],"
    " int8[:,::1], float64[:,::1], int64[:,::1])"
)
def fill_moving(slots, ends, numbers, forms, ladders, enter_at, rung, score, falls_at_ms):
    """
    Lay out the fields that may differ with the same `seq`: first, since Redis looks a field up from the front.

    Args:
        slots: int64 (users, slots, 3), set from slot 0 on: fragment, units and form of the number behind it.
        ends: int64 (users, 4), [:, 0] is set to the first free slot, [:, 1] to the number of fields.
        numbers: int64 (users, k), of the k user fields with a number.
        forms: int64 (k, 2), fragment and form of each number.
        ladders, enter_at: of the wording.
        rung, score, falls_at_ms: (users, ladders), as in CommitChunk.
    """
    for user in range(rung.shape[0]):
        slot = 0
        for number in range(MOVING_NUMBERS):
            slot = fill(slots, user, slot, forms[number, 0], numbers[user, number], forms[number, 1])
        for ladder in range(rung.shape[1]):
            if ladders[ladder, IS_TAG]:
                continue
            here, points = rung[user, ladder], score[user, ladder]
            slot = fill_points(slots, user, slot, ladders[ladder, SCORE], points)
            if here + 1 < ladders[ladder, RUNGS]:
                # A ratio may have lifted the score over it since the last event: nothing is missing.
                missing = max(enter_at[ladder, here + 1] - points, 0.0)
                slot = fill_points(slots, user, slot, ladders[ladder, TO_NEXT], missing)
            if falls_at_ms[user, ladder] != ABSENT_MS:
                slot = fill(slots, user, slot, ladders[ladder, FALLS_AT], falls_at_ms[user, ladder], 0)
        ends[user, 0] = slot
        ends[user, 1] = slot


@borrowing_kernel(
    "void(int64[:,:,::1], int64[:,::1], boolean[::1], int64[:,::1], int64[:,::1], int64[:,::1], int64[:,::1],"
    " int8[:,::1], int64[:,::1], int64[:,::1])"
)
def fill_rest(slots, ends, whole, numbers, forms, ladders, rung_text, rung, since_ms, falls_at_ms):
    """
    Lay out the other fields of users who are written whole, then the names of fields that a user has not.

    Args:
        slots, ends: as fill_moving left them; [:, 0] and [:, 1] are moved on, [:, 2] is set to the end of the
            names and [:, 3] to their number.
        whole: bool (users,), as in CommitChunk.
        rung_text: of the wording. The others as in fill_moving.
    """
    for user in range(rung.shape[0]):
        slot = ends[user, 0]
        if whole[user]:
            fields = ends[user, 1] + CONSTANT_FIELDS
            for ladder in range(rung.shape[1]):
                if ladders[ladder, IS_TAG]:
                    continue
                here = rung[user, ladder]
                slot = fill(slots, user, slot, rung_text[ladder, here], since_ms[user, ladder], 0)
                fields += 4 if here + 1 < ladders[ladder, RUNGS] else 3
            for number in range(MOVING_NUMBERS, numbers.shape[1]):
                slot = fill(slots, user, slot, forms[number, 0], numbers[user, number], forms[number, 1])
                fields += 1
            ends[user, 0], ends[user, 1] = slot, fields
        names = 0
        for ladder in range(rung.shape[1]):
            if ladders[ladder, IS_TAG]:
                continue
            if whole[user] and rung[user, ladder] + 1 >= ladders[ladder, RUNGS]:
                slot = fill(slots, user, slot, ladders[ladder, NEXT_NAMES], 0, TEXT_ONLY)
                names += 2
            # On rung 0 there never is a next fall: who has not moved has no field to lose.
            if falls_at_ms[user, ladder] == ABSENT_MS and (whole[user] or rung[user, ladder] > 0):
                slot = fill(slots, user, slot, ladders[ladder, FALLS_AT], 0, TEXT_ONLY)
                names += 1
        ends[user, 2] = slot
        ends[user, 3] = names


@inlined
def has_left(home, committed_home, user, here):
    """Tell whether a user's row moves away from here."""
    return committed_home[user] == here and home[user] != here


@borrowing_kernel(
    "UniTuple(int64, 2)(uint8[::1], int64, uint8[::1], int64[::1], uint8[::1], int64[::1], uint8[::1], int64[::1],"
    " int8[::1], int8[::1], int64[:,::1])"
)
def render_rows(
    out, at, arena, start, user_bytes, user_start, row_bytes, row_start, home, committed_home, ids
):
    """
    Render the rows of all users, one HSET for those of each home, and one HDEL for those who have left it.

    Args:
        home, committed_home: int8 (users,), as in CommitChunk.
        ids: int64 (users, 2), set to where each user id stands in `out` as a bulk string.

    Returns:
        Where it stopped, and how many commands it wrote.
    """
    commands = 0
    for here in (WARM, COLD):
        key = ROWS_KEY if here == WARM else COLD_KEY
        users, left = 0, 0
        for user in range(home.shape[0]):
            users += home[user] == here
            left += has_left(home, committed_home, user, here)
        if users > 0:
            commands += 1
            at = put_head(out, at, STAR, 2 + 2 * users)
            at = put_fragment(out, at, arena, start, HSET)
            at = put_fragment(out, at, arena, start, key)
            for user in range(home.shape[0]):
                if home[user] == here:
                    ids[user, 0] = at
                    at = put_bulk(out, at, user_bytes, user_start[user], user_start[user + 1])
                    ids[user, 1] = at
                    at = put_bulk(out, at, row_bytes, row_start[user], row_start[user + 1])
        if left > 0:
            commands += 1
            at = put_head(out, at, STAR, 2 + left)
            at = put_fragment(out, at, arena, start, HDEL)
            at = put_fragment(out, at, arena, start, key)
            for user in range(home.shape[0]):
                if has_left(home, committed_home, user, here):
                    at = put_bulk(out, at, user_bytes, user_start[user], user_start[user + 1])
    return at, commands


@inlined
def tags_size(start, tags, rung, user):
    """Count the characters of put_tags."""
    size = 0
    for tag in range(tags.shape[0]):
        if rung[user, tags[tag, 0]] == 1:
            size += 1 + start[tags[tag, 1] + 1] - start[tags[tag, 1]]
    return max(size - 1, 0)


@inlined
def put_tags(out, at, arena, start, tags, rung, user):
    """Write the names of the tags that are on, sorted, with commas."""
    begin = at
    for tag in range(tags.shape[0]):
        if rung[user, tags[tag, 0]] == 1:
            if at > begin:
                out[at] = COMMA
                at += 1
            at = put_fragment(out, at, arena, start, tags[tag, 1])
    return at


@borrowing
def render_dump(out, arena, start, items, items_start, slots, ends, tags, rung, user):
    """Render the profile of a user who is written whole, see hash_dump; answers how long it is."""
    at = ITEMS_AT
    for slot in range(ends[user, 0]):
        at = put_fragment(out, at, items, items_start, slots[user, slot, 0])
        at = put_number_item(out, at, slots[user, slot, 1], slots[user, slot, 2])
    at = put_fragment(out, at, items, items_start, TAGS)
    begin = at
    at = put_text_head(out, at, tags_size(start, tags, rung, user))
    at = put_item_end(out, begin, put_tags(out, at, arena, start, tags, rung, user))
    return put_dump_around(out, at, 2 * (ends[user, 1] + 1))


@borrowing_kernel(
    "UniTuple(int64, 2)(uint8[::1], int64, uint8[::1], int64[::1], uint8[::1], int64[::1], uint8[::1],"
    " int64[:,:,::1], int64[:,::1], boolean[::1], int8[::1], uint8[::1], int64[::1], int64[:,::1], int8[:,::1],"
    " int64, int64)"
)
def render_profiles(
    out,
    at,
    arena,
    start,
    items,
    items_start,
    dump,
    slots,
    ends,
    whole,
    committed_home,
    user_bytes,
    user_start,
    tags,
    rung,
    retired,
    retired_count,
):
    """
    Render for each user one HSET of the fields it has and, unless it is new, one HDEL of those it has not.

    Whoever is written whole can be written in one piece instead, by RESTORE: the server then looks up no field.

    Args:
        items, items_start: of the wording.
        dump: room for a profile in one piece; empty where all are written by fields.
        slots, ends, whole: as fill_rest left them.
        committed_home: int8 (users,), as in CommitChunk.
        tags: int64 (tags, 2), ladder and fragment of each tag, by name.
        retired, retired_count: fragment and number of the names that a former policy alone had.

    Returns:
        Where it stopped, and how many commands it wrote.
    """
    commands = 0
    for user in range(rung.shape[0]):
        in_one_piece = whole[user] and dump.shape[0] > 0
        at = put_head(out, at, STAR, 5 if in_one_piece else 2 + 2 * (ends[user, 1] + whole[user]))
        at = put_fragment(out, at, arena, start, RESTORE if in_one_piece else HSET)
        key, id_start, id_end = at, user_start[user], user_start[user + 1]
        at = put_head(out, at, DOLLAR, start[USER_KEY + 1] - start[USER_KEY] + id_end - id_start)
        at = put_fragment(out, at, arena, start, USER_KEY)
        at = put_end(out, put_bytes(out, at, user_bytes, id_start, id_end))
        key_end = at
        commands += 1
        if in_one_piece:
            size = render_dump(dump, arena, start, items, items_start, slots, ends, tags, rung, user)
            at = put_fragment(out, at, arena, start, FOR_GOOD)
            at = put_bulk(out, at, dump, 0, size)
            at = put_fragment(out, at, arena, start, REPLACE)
            continue
        for slot in range(ends[user, 0]):
            at = put_fragment(out, at, arena, start, slots[user, slot, 0])
            # All numbers go through this one place: with a call for every field compiling took a minute.
            at = put_number(out, at, slots[user, slot, 1], slots[user, slot, 2])
        if whole[user]:
            at = put_fragment(out, at, arena, start, TAGS)
            at = put_head(out, at, DOLLAR, tags_size(start, tags, rung, user))
            at = put_end(out, put_tags(out, at, arena, start, tags, rung, user))
        names = ends[user, 3] + (retired_count if whole[user] else 0)
        if names > 0 and committed_home[user] != NOWHERE:
            at = put_head(out, at, STAR, 2 + names)
            at = put_fragment(out, at, arena, start, HDEL)
            at = put_bytes(out, at, out, key, key_end)
            for slot in range(ends[user, 0], ends[user, 2]):
                at = put_fragment(out, at, arena, start, slots[user, slot, 0])
            if whole[user]:
                at = put_fragment(out, at, arena, start, retired)
            commands += 1
    return at, commands


@inlined
def is_moving(rung, known_rung, user, kind, ladder, rank):
    """
    Tell whether a user takes part in a move.

    LEAVE: the store has the user on this rung and it is there no more. ENTER: it is there and the store does
    not know. RETIRE: it leaves a set of the former policy, unless that is still its set.
    """
    is_here = ladder >= 0 and rung[user, ladder] == rank
    if kind == RETIRE:
        return not is_here
    was_here = known_rung[user, ladder] == rank
    return was_here and not is_here if kind == LEAVE else is_here and not was_here


@borrowing_kernel(
    "UniTuple(int64, 2)(uint8[::1], int64, uint8[::1], int64[::1], int64[:,::1], int64[:,::1], int64[::1],"
    " int8[:,::1], int8[:,::1])"
)
def render_moves(out, at, arena, start, ids, moves, movers, rung, known_rung):
    """
    Render one SREM or SADD for each move that any user takes part in.

    Args:
        ids: of render_rows.
        moves: int64 (moves, 4): kind, fragment of the set's key, ladder, rank.
        movers: int64, the users that may take part in any move.
        known_rung: int8 (users, ladders), what the store has, -1 for nothing.

    Returns:
        Where it stopped, and how many commands it wrote.
    """
    commands = 0
    for move in range(moves.shape[0]):
        kind, key, ladder, rank = moves[move, 0], moves[move, 1], moves[move, 2], moves[move, 3]
        members = 0
        for user in movers:
            members += is_moving(rung, known_rung, user, kind, ladder, rank)
        if members == 0:
            continue
        commands += 1
        at = put_head(out, at, STAR, 2 + members)
        at = put_fragment(out, at, arena, start, SADD if kind == ENTER else SREM)
        at = put_fragment(out, at, arena, start, key)
        for user in movers:
            if is_moving(rung, known_rung, user, kind, ladder, rank):
                at = put_bytes(out, at, out, ids[user, 0], ids[user, 1])
    return at, commands
