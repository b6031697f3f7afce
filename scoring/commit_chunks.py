"""This file cuts what a shard has to write into chunks, each whole in itself: users, their changes and dead letters."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from scoring.commit_plan import COLD, CommitChunk
from scoring.events import DeadLetter, Int64s, LadderChange
from scoring.pending_changes import PendingChanges
from scoring.row import AS_OF, FALLS_AT, FIRST_SEEN, LADDER_WORDS, NEWEST, ORDERS, SEQ, SINCE, SPEND
from scoring.step import describe
from scoring.user_rows import UserRows

Item = TypeVar("Item")
CHUNK_USERS = 25  # Written whole. The store serves nobody else meanwhile: see benchmarks/reads.py.


def commit_chunks(
    users: UserRows,
    rows: Int64s,
    chunk_users: int,
    changes: PendingChanges,
    dead_letters: list[tuple[int, DeadLetter]],
) -> tuple[list[CommitChunk], list[DeadLetter]]:
    """Answer the chunks of these users, taken as committed from now on, and the dead letters of nobody among them."""
    letters_of = _by_row(dead_letters)
    cuts = _cuts(users, rows, chunk_users)
    changes_of = changes.take(users, rows, cuts)
    chunks = [
        _chunk(users, rows[first:last], changes_of[n], letters_of)
        for n, (first, last) in enumerate(pairwise(cuts))
    ]
    return chunks, [letter for letters in letters_of.values() for letter in letters]


def _cuts(users: UserRows, rows: Int64s, chunk_users: int) -> list[int]:
    """Cut where the next user would cost the store too much; who is written in part costs half of the others."""
    is_whole = users.committed_seq[rows] != users.state.rows[rows, SEQ]
    chunk = (np.cumsum(1 + is_whole) - 1) // (2 * chunk_users)
    return [*np.flatnonzero(np.diff(chunk, prepend=-1)).tolist(), rows.shape[0]]


def _chunk(
    users: UserRows,
    rows: Int64s,
    changes: Sequence[LadderChange],
    dead_letters: dict[int, list[DeadLetter]],
) -> CommitChunk:
    compiled = users.compiled
    ladders = len(compiled.policy.ladders)
    score = np.empty((rows.shape[0], ladders))
    describe(compiled.tables, users.state, rows, score)
    user_bytes, user_start = users.index.spans(rows)
    home = users.homes(rows)
    row_bytes, row_start = users.pack(rows, home == COLD)
    own = users.state.rows[rows]
    at, end = compiled.layout.ladders_at, compiled.layout.ladders_at + LADDER_WORDS * ladders
    rung = users.ranks(rows).astype(np.int8)
    committed_rung = users.committed_rung[rows]
    users.committed_rung[rows] = rung
    committed_home = users.committed_home[rows]
    users.committed_home[rows] = home
    is_recounted = users.cold.move(home, rung, committed_home, committed_rung)
    whole = users.committed_seq[rows] != own[:, SEQ]
    users.committed_seq[rows] = own[:, SEQ]
    return CommitChunk(
        user_bytes=user_bytes,
        user_start=user_start,
        row_bytes=row_bytes,
        row_start=row_start,
        as_of_ms=own[:, AS_OF].copy(),
        seq=own[:, SEQ].copy(),
        whole=whole,
        first_seen_ms=own[:, FIRST_SEEN].copy(),
        last_seen_ms=own[:, NEWEST].copy(),
        orders=own[:, ORDERS].copy(),
        spend_minor=own[:, SPEND].copy(),
        rung=rung,
        committed_rung=committed_rung,
        since_ms=own[:, at + SINCE : end : LADDER_WORDS].copy(),
        score=score,
        falls_at_ms=own[:, at + FALLS_AT : end : LADDER_WORDS].copy(),
        home=home,
        committed_home=committed_home,
        cold=users.cold.count() if is_recounted else None,
        changes=changes,
        dead_letters=_taken(dead_letters, rows),
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
