"""This file renders a chunk of users as the Redis commands that store them."""

import numpy as np
from numpy.typing import NDArray

from scoring.commit_plan import COLD, NOWHERE, WARM, ColdCount, CommitChunk
from scoring.policy import Policy
from sinks import keyspace, profile_kernel
from sinks.cold_count import cold_text
from sinks.keyspace import Keyspace
from sinks.profile_kernel import ENTER, LEAVE, RETIRE
from sinks.profile_wording import (
    COLD_KEY,
    NUMBER_COLUMNS,
    RETIRED_FIELDS,
    ROWS_KEY,
    SCORE,
    TAGS,
    USER_KEY,
    Wording,
    wording_of,
)
from sinks.redis_pipe import packed
from sinks.resp_text import NUMBER_SIZE_MAX

_FIRST_BUFFER_SIZE = 1 << 20
_SLOTS_PER_LADDER = 6  # Rung, score, to_next and falls_at_ms, or the names of what is absent.


class ProfileEncoder:
    """
    Render profiles, audience moves and rows of one shard's users; owns the buffer it renders into.

    Args:
        policy: that the chunks are scored under.
        prefix: of every key.
        partition: number of the shard.
        former: the policy that the store's profiles are worded by, while there are users who were not written
            since the policy changed. What it has and `policy` has not vanishes from profiles and audiences,
            and committed rungs are not believed.
    """

    def __init__(self, policy: Policy, prefix: str, partition: int, former: Policy | None = None) -> None:
        self._keys = Keyspace(prefix)
        self._partition = partition
        self._wording = wording_of(policy, self._keys, partition, former)
        self._moves = _moves(self._wording)
        self._is_migration = former is not None
        self._sizes_max = _SizesMax(self._wording, self._moves)
        self._buffer = np.empty(_FIRST_BUFFER_SIZE, dtype=np.uint8)

    def encode(self, chunk: CommitChunk) -> tuple[memoryview, int]:
        """
        Answer the commands as bytes and how many they are: rows, profiles, moves between audiences, counts.

        The bytes lie in the encoder's own buffer: they hold until the next call.
        """
        if len(chunk) == 0:
            return memoryview(b""), 0
        self._check(chunk)
        size_max = self._sizes_max.of(chunk)
        if size_max > self._buffer.size:
            self._buffer = np.empty(size_max + size_max // 4, dtype=np.uint8)
        size, commands = self._render(chunk)
        return memoryview(self._buffer)[:size], commands  # type: ignore[arg-type]

    def new_user_keys(self, chunk: CommitChunk) -> list[bytes]:
        """Answer the profile keys of the users that the store does not know yet."""
        new = np.flatnonzero(chunk.committed_home == NOWHERE)
        ids, start = memoryview(chunk.user_bytes), chunk.user_start  # type: ignore[arg-type]
        return [self._keys.user(bytes(ids[start[user] : start[user + 1]])) for user in new.tolist()]

    def _render(self, chunk: CommitChunk) -> tuple[int, int]:
        words, out, count = self._wording, self._buffer, len(chunk)
        user_bytes, row_bytes, rung = _writable(chunk.user_bytes), _writable(chunk.row_bytes), chunk.rung
        ids = np.empty((count, 2), dtype=np.int64)
        at, rows = profile_kernel.render_rows(
            out,
            words.arena,
            words.start,
            user_bytes,
            chunk.user_start,
            row_bytes,
            chunk.row_start,
            chunk.home,
            chunk.committed_home,
            ids,
        )
        slots, ends = self._slots(chunk)
        at, profiles = profile_kernel.render_profiles(
            out,
            at,
            words.arena,
            words.start,
            slots,
            ends,
            chunk.whole,
            user_bytes,
            chunk.user_start,
            words.tags,
            rung,
            RETIRED_FIELDS,
            words.retired_field_count,
        )
        known_rung = np.full_like(rung, -1) if self._is_migration else chunk.committed_rung
        movers = np.flatnonzero((rung != known_rung).any(axis=1))
        at, moves = profile_kernel.render_moves(
            out, at, words.arena, words.start, ids, self._moves, movers, rung, known_rung
        )
        counted = b""
        if chunk.cold is not None:
            counted = packed_count(self._keys, self._partition, chunk.cold)
            out[at : at + len(counted)] = np.frombuffer(counted, np.uint8)
        return at + len(counted), rows + profiles + moves + bool(counted)

    def _slots(self, chunk: CommitChunk) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lay out the fields of each user, see profile_kernel.fill_moving."""
        words, (count, ladders) = self._wording, chunk.rung.shape
        slots = np.empty((count, ladders * _SLOTS_PER_LADDER + len(NUMBER_COLUMNS), 3), dtype=np.int64)
        ends = np.empty((count, 4), dtype=np.int64)
        numbers = np.stack([getattr(chunk, name) for name in NUMBER_COLUMNS], axis=1)
        profile_kernel.fill_moving(
            slots,
            ends,
            numbers,
            words.numbers,
            words.ladders,
            words.enter_at,
            chunk.rung,
            chunk.score,
            chunk.falls_at_ms,
        )
        profile_kernel.fill_rest(
            slots,
            ends,
            chunk.whole,
            numbers,
            words.numbers,
            words.ladders,
            words.rung_text,
            chunk.rung,
            chunk.since_ms,
            chunk.falls_at_ms,
        )
        return slots, ends

    def _check(self, chunk: CommitChunk) -> None:
        """Assert what the kernels rely on without looking."""
        rungs, shape = self._wording.ladders[:, 0], (len(chunk), self._wording.ladders.shape[0])
        for column in (chunk.rung, chunk.committed_rung, chunk.since_ms, chunk.score, chunk.falls_at_ms):
            assert column.shape == shape, (column.shape, shape)
        for home in (chunk.home, chunk.committed_home):
            assert home.shape == (len(chunk),), (home.shape, len(chunk))
        assert ((chunk.home == WARM) | (chunk.home == COLD)).all()
        for start in (chunk.user_start, chunk.row_start):
            assert start.shape == (len(chunk) + 1,), (start.shape, len(chunk))
        assert ((chunk.rung >= 0) & (chunk.rung < rungs)).all(), (chunk.rung.max(axis=0), rungs)
        assert np.isfinite(chunk.score).all()


class _SizesMax:
    """Bounds the rendered size from above."""

    def __init__(self, words: Wording, moves: NDArray[np.int64]) -> None:
        sizes = words.sizes
        rung_texts = np.where(words.rung_text >= 0, sizes[words.rung_text], 0).max(axis=1, initial=0)
        names = sizes[words.ladders[:, SCORE:]]
        fields = int(rung_texts.sum() + 2 * names.sum()) + names.size * NUMBER_SIZE_MAX
        tags = int(sizes[TAGS] + (1 + sizes[words.tags[:, 1]]).sum())
        numbers = int(sizes[words.numbers[:, 0]].sum()) + (1 + len(words.numbers)) * NUMBER_SIZE_MAX
        keys = 2 * int(sizes[USER_KEY]) + int(sizes[RETIRED_FIELDS])
        # HSET and HDEL: their heads and names, then the user's key in both.
        self._per_user = fields + tags + numbers + keys + 8 * NUMBER_SIZE_MAX
        # An id stands with its row and where it was, in two keys, and at most once in each audience set.
        self._id_places = 4 + len(moves)
        homes = int(sizes[moves[:, 1]].sum() + 2 * sizes[ROWS_KEY] + 2 * sizes[COLD_KEY])
        # Behind the rows and moves stand the counts of cold users, with the key of the meta hash.
        counts = int(sizes[ROWS_KEY]) + (8 + words.rung_text.size) * NUMBER_SIZE_MAX
        self._per_chunk = homes + (4 + len(moves)) * 2 * NUMBER_SIZE_MAX + counts

    def of(self, chunk: CommitChunk) -> int:
        """Bound the size of a chunk."""
        id_bytes = int(chunk.user_start[-1] - chunk.user_start[0]) + len(chunk) * NUMBER_SIZE_MAX
        row_bytes = int(chunk.row_start[-1] - chunk.row_start[0]) + len(chunk) * NUMBER_SIZE_MAX
        return len(chunk) * self._per_user + self._id_places * id_bytes + row_bytes + self._per_chunk


def _moves(words: Wording) -> NDArray[np.int64]:
    """List the sets a user can leave and enter as profile_kernel.render_moves takes them: leaving first."""
    audiences = [
        (words.audience[ladder, rank], ladder, rank) for ladder, rank in np.argwhere(words.audience >= 0)
    ]
    moves = [(LEAVE, *audience) for audience in audiences]
    moves += [(RETIRE, *row) for row in words.retired_sets]
    moves += [(ENTER, *audience) for audience in audiences]
    return np.array(moves, dtype=np.int64).reshape(-1, 4)


def packed_count(keys: Keyspace, partition: int, cold: ColdCount) -> bytes:
    """Render the command that keeps how many cold users there are."""
    return packed("HSET", keys.meta(partition), keyspace.COLD, cold_text(cold))


def _writable(column: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Answer the column as the kernels' signatures want it: arrays over bytes objects are read-only."""
    return column if column.flags.writeable else column.copy()
