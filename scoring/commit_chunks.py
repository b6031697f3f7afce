"""This file cuts what a shard has to write into chunks, each whole in itself: users, their changes and dead letters."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from scoring.commit_plan import ColdCount, CommitBlock, CommitChunk
from scoring.events import DeadLetter, Int64s, LadderChange
from scoring.pending_changes import PendingChanges
from scoring.row import AS_OF, FALLS_AT, FIRST_SEEN, NEWEST, ORDERS, SEQ, SINCE, SPEND
from scoring.step import describe
from scoring.user_rows import UserRows

Item = TypeVar("Item")
CHUNK_USERS = 50, 200
"""
Users of a chunk in the smallest commits and in the largest.

The store serves nobody else during a chunk, so that they are small as long as commits keep up (benchmarks/reads.py).
Who has very many users to write is catching up: larger chunks have less to pay for each round trip.
"""
CHUNKS_WISHED = 100  # Above this many chunks they grow.
BLOCK_USERS = 1_000  # Each call of numpy or of a kernel is for so many at least.


def commit_blocks(
    users: UserRows,
    rows: Int64s,
    changes: PendingChanges,
    dead_letters: list[tuple[int, DeadLetter]],
    chunk_users: int | None = None,
) -> tuple[list[CommitBlock], list[DeadLetter]]:
    """Answer the chunks of these users, taken as committed from now on, and the dead letters of nobody among them."""
    chunk_users = chunk_users or chunk_users_of(rows.shape[0])
    letters_of = _by_row(dead_letters)
    cuts = np.append(np.arange(0, rows.shape[0], chunk_users), rows.shape[0])
    changed, changed_at = changes.take(users, rows, cuts)
    blocks = []
    block_chunks = max(1, BLOCK_USERS // chunk_users)
    for first in range(0, cuts.shape[0] - 1, block_chunks):
        here = slice(first, first + block_chunks + 1)
        start, at = cuts[here], changed_at[here]
        own = changed[at[0] : at[-1]], [one - at[0] for one in at]
        blocks.append(_block(users, rows[start[0] : start[-1]], start - start[0], *own, letters_of))
    return blocks, [letter for letters in letters_of.values() for letter in letters]


def chunk_users_of(users: int) -> int:
    """Answer how many users are a chunk in a commit of so many."""
    smallest, largest = CHUNK_USERS
    return min(largest, max(smallest, users // CHUNKS_WISHED))


def _block(
    users: UserRows,
    rows: Int64s,
    start: Int64s,
    changes: Sequence[LadderChange],
    changes_start: list[int],
    dead_letters: dict[int, list[DeadLetter]],
) -> CommitBlock:
    everybody, counts = _everybody(users, rows, start)
    everybody.changes = changes
    chunks = []
    places = zip(pairwise(start.tolist()), pairwise(changes_start), counts, strict=True)
    for (first, last), (first_change, last_change), cold in places:
        chunk = part(everybody, first, last, cold)
        chunk.changes = changes[first_change:last_change]
        chunk.dead_letters = _taken(dead_letters, rows[first:last])
        chunks.append(chunk)
    return CommitBlock(everybody, start, changes_start, chunks)


def _everybody(users: UserRows, rows: Int64s, start: Int64s) -> tuple[CommitChunk, list[ColdCount | None]]:
    """Gather all columns at once; answer also the running count of cold users behind each chunk that changes it."""
    compiled = users.compiled
    ladders = len(compiled.policy.ladders)
    score = np.empty((rows.shape[0], ladders))
    describe(compiled.tables, users.state, rows, score)
    user_bytes, user_start = users.index.spans(rows)
    home = users.homes(rows)
    row_bytes, row_start = users.pack(rows)
    rung = users.ranks(rows).astype(np.int8)
    committed_rung = users.committed_rung[rows]
    users.committed_rung[rows] = rung
    committed_home = users.committed_home[rows]
    users.committed_home[rows] = home
    counts = users.cold.move_in_parts(home, rung, committed_home, committed_rung, start)
    seq = users.word(rows, SEQ)
    whole = users.committed_seq[rows] != seq
    users.committed_seq[rows] = seq
    everybody = CommitChunk(
        user_bytes=user_bytes,
        user_start=user_start,
        row_bytes=row_bytes,
        row_start=row_start,
        as_of_ms=users.word(rows, AS_OF),
        seq=seq,
        whole=whole,
        first_seen_ms=users.word(rows, FIRST_SEEN),
        last_seen_ms=users.word(rows, NEWEST),
        orders=users.word(rows, ORDERS),
        spend_minor=users.word(rows, SPEND),
        rung=rung,
        committed_rung=committed_rung,
        since_ms=users.ladder_word(rows, SINCE),
        score=score,
        falls_at_ms=users.ladder_word(rows, FALLS_AT),
        home=home,
        committed_home=committed_home,
        cold=None,
        changes=[],
        dead_letters=[],
    )
    return everybody, counts


def part(everybody: CommitChunk, first: int, last: int, cold: ColdCount | None) -> CommitChunk:
    """Answer some of the users as a chunk of views, so far without changes and dead letters."""
    here = slice(first, last)
    return CommitChunk(
        user_bytes=everybody.user_bytes,
        user_start=everybody.user_start[first : last + 1],
        row_bytes=everybody.row_bytes,
        row_start=everybody.row_start[first : last + 1],
        as_of_ms=everybody.as_of_ms[here],
        seq=everybody.seq[here],
        whole=everybody.whole[here],
        first_seen_ms=everybody.first_seen_ms[here],
        last_seen_ms=everybody.last_seen_ms[here],
        orders=everybody.orders[here],
        spend_minor=everybody.spend_minor[here],
        rung=everybody.rung[here],
        committed_rung=everybody.committed_rung[here],
        since_ms=everybody.since_ms[here],
        score=everybody.score[here],
        falls_at_ms=everybody.falls_at_ms[here],
        home=everybody.home[here],
        committed_home=everybody.committed_home[here],
        cold=cold,
        changes=[],
        dead_letters=[],
    )


def _taken(items_of: dict[int, list[Item]], rows: Int64s) -> list[Item]:
    """Take what belongs to these rows, in their order."""
    if not items_of:
        return []
    return [item for row in rows.tolist() if row in items_of for item in items_of.pop(row)]


def _by_row(pairs: list[tuple[int, Item]]) -> dict[int, list[Item]]:
    grouped: dict[int, list[Item]] = {}
    for row, item in pairs:
        grouped.setdefault(row, []).append(item)
    return grouped
