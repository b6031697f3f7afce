"""This file renders chunks of users as the Redis commands that store them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.commit_plan import COLD, NOWHERE, WARM, ColdCount, CommitBlock, CommitChunk
from scoring.policy import Policy
from sinks import block_kernel, keyspace
from sinks.block_kernel import Columns, Scratch, Words
from sinks.cold_count import cold_text
from sinks.hash_dump import SIZE_AROUND, TEXT_MAX
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
_FIRST_CHUNK_USERS = 64
_SLOTS_PER_LADDER = 6  # Rung, score, to_next and falls_at_ms, or the names of what is absent.


class Room:
    """
    Memory to render into, which grows as needed.

    Encoders share it that are not under way at the same time: a block takes megabytes.
    """

    def __init__(self) -> None:
        self._buffer = np.empty(_FIRST_BUFFER_SIZE, dtype=np.uint8)

    def of(self, size: int) -> NDArray[np.uint8]:
        """Answer a buffer of at least so many bytes; it holds until the next call."""
        if size > self._buffer.size:
            self._buffer = np.empty(size + size // 4, dtype=np.uint8)
        return self._buffer


class ProfileEncoder:
    """
    Render profiles, audience moves and rows of one shard's users.

    Args:
        policy: that the chunks are scored under.
        prefix: of every key.
        partition: number of the shard.
        restores: the store takes profiles in one piece, see hash_dump; those that are written whole are, unless
            there are so many tags that their names may be too long together.
        former: the policy that the store's profiles are worded by, while there are users who were not written
            since the policy changed. What it has and `policy` has not vanishes from profiles and audiences,
            and committed rungs are not believed.
    """

    def __init__(
        self,
        policy: Policy,
        prefix: str,
        partition: int,
        former: Policy | None = None,
        *,
        restores: bool = False,
    ) -> None:
        self._keys = Keyspace(prefix)
        self._partition = partition
        wording = wording_of(policy, self._keys, partition, former)
        self._words = _words(wording)
        self._retired_field_count = wording.retired_field_count
        self._is_migration = former is not None
        self._sizes_max = _SizesMax(wording, self._words.moves)
        self._room = Room()
        in_one_piece = restores and self._sizes_max.tags <= TEXT_MAX
        self._dump_size = self._sizes_max.per_user + SIZE_AROUND if in_one_piece else 0
        self._scratch = self._scratch_for(_FIRST_CHUNK_USERS)

    def encode(self, chunk: CommitChunk) -> tuple[memoryview, int]:
        """
        Answer the commands as bytes and how many they are: rows, profiles, moves between audiences, counts.

        The bytes lie in the encoder's room: they hold until something else is rendered there.
        """
        if len(chunk) == 0:
            return memoryview(b""), 0
        return self.encode_block(
            CommitBlock(chunk, np.array([0, len(chunk)]), [0, len(chunk.changes)], [chunk])
        )[0]

    def encode_block(self, block: CommitBlock, room: Room | None = None) -> list[tuple[memoryview, int]]:
        """Answer for each chunk of a block what `encode` answers for one, rendered in this room if one is given."""
        self._check(block)
        out = (room or self._room).of(self._sizes_max.of(block))
        self._fit_scratch(int(np.diff(block.start).max()))
        counts = [
            b"" if chunk.cold is None else packed_count(self._keys, self._partition, chunk.cold)
            for chunk in block.chunks
        ]
        found = np.empty((len(block.chunks), 3), dtype=np.int64)
        block_kernel.render_block(
            out,
            self._words,
            self._columns(block.users),
            self._scratch,
            block.start,
            *_joined(counts),
            self._retired_field_count,
            found,
        )
        rendered = memoryview(out)  # type: ignore[arg-type]
        return [(rendered[begin:end], commands) for begin, end, commands in found.tolist()]

    def new_user_keys(self, chunk: CommitChunk) -> tuple[bytes, ...]:
        """Answer the profile keys of the users that the store does not know yet."""
        new = (chunk.committed_home == NOWHERE).nonzero()[0]
        text, prefix = memoryview(chunk.user_bytes), self._keys.user_prefix  # type: ignore[arg-type]
        places = zip(chunk.user_start[new].tolist(), chunk.user_start[new + 1].tolist(), strict=True)
        return tuple(b"".join((prefix, text[begin:end])) for begin, end in places)

    def _columns(self, users: CommitChunk) -> Columns:
        return Columns(
            user_bytes=_writable(users.user_bytes),
            user_start=users.user_start,
            row_bytes=_writable(users.row_bytes),
            row_start=users.row_start,
            numbers=np.stack([getattr(users, name) for name in NUMBER_COLUMNS], axis=1),
            whole=users.whole,
            rung=users.rung,
            known_rung=np.full_like(users.rung, -1) if self._is_migration else users.committed_rung,
            since_ms=users.since_ms,
            score=users.score,
            falls_at_ms=users.falls_at_ms,
            home=users.home,
            committed_home=users.committed_home,
        )

    def _fit_scratch(self, users: int) -> None:
        """Make room for a chunk of so many users."""
        if users > self._scratch.movers.shape[0]:
            self._scratch = self._scratch_for(users)

    def _scratch_for(self, users: int) -> Scratch:
        slots = len(self._words.ladders) * _SLOTS_PER_LADDER + len(NUMBER_COLUMNS)
        return Scratch(
            slots=np.empty((users, slots, 3), dtype=np.int64),
            ends=np.empty((users, 4), dtype=np.int64),
            ids=np.empty((users, 2), dtype=np.int64),
            movers=np.empty(users, dtype=np.int64),
            dump=np.empty(self._dump_size, dtype=np.uint8),
        )

    def _check(self, block: CommitBlock) -> None:
        """Assert what the kernels rely on without looking."""
        chunk, start = block.users, block.start
        assert start.shape == (len(block.chunks) + 1,), (start.shape, len(block.chunks))
        assert (start[0], start[-1]) == (0, len(chunk)), (start, len(chunk))
        assert (np.diff(start) > 0).all(), start
        rungs, shape = self._words.ladders[:, 0], (len(chunk), self._words.ladders.shape[0])
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
    """Bounds the rendered size from above; as items of a listpack a profile is smaller than as bulk strings."""

    def __init__(self, words: Wording, moves: NDArray[np.int64]) -> None:
        sizes = words.sizes
        rung_texts = np.where(words.rung_text >= 0, sizes[words.rung_text], 0).max(axis=1, initial=0)
        names = sizes[words.ladders[:, SCORE:]]
        fields = int(rung_texts.sum() + 2 * names.sum()) + names.size * NUMBER_SIZE_MAX
        self.tags = int((1 + sizes[words.tags[:, 1]]).sum())
        tags = int(sizes[TAGS]) + self.tags
        numbers = int(sizes[words.numbers[:, 0]].sum()) + (1 + len(words.numbers)) * NUMBER_SIZE_MAX
        keys = 2 * int(sizes[USER_KEY]) + int(sizes[RETIRED_FIELDS])
        # HSET and HDEL, or RESTORE: their heads and names, then the user's key in both.
        self.per_user = fields + tags + numbers + keys + 8 * NUMBER_SIZE_MAX
        # An id stands with its row and where it was, in two keys, and at most once in each audience set.
        self._id_places = 4 + len(moves)
        homes = int(sizes[moves[:, 1]].sum() + 2 * sizes[ROWS_KEY] + 2 * sizes[COLD_KEY])
        # Behind the rows and moves stand the counts of cold users, with the key of the meta hash.
        counts = int(sizes[ROWS_KEY]) + (8 + words.rung_text.size) * NUMBER_SIZE_MAX
        self._per_chunk = homes + (4 + len(moves)) * 2 * NUMBER_SIZE_MAX + counts

    def of(self, block: CommitBlock) -> int:
        """Bound the size of a block."""
        users, count = block.users, len(block.users)
        id_bytes = int(users.user_start[-1] - users.user_start[0]) + count * NUMBER_SIZE_MAX
        row_bytes = int(users.row_start[-1] - users.row_start[0]) + count * NUMBER_SIZE_MAX
        chunks = len(block.chunks) * self._per_chunk
        return count * self.per_user + self._id_places * id_bytes + row_bytes + chunks


def _words(wording: Wording) -> Words:
    return Words(
        arena=wording.arena,
        start=wording.start,
        items=wording.items,
        items_start=wording.items_start,
        numbers=wording.numbers,
        ladders=wording.ladders,
        rung_text=wording.rung_text,
        enter_at=wording.enter_at,
        tags=wording.tags,
        moves=_moves(wording),
    )


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


def _joined(pieces: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Join pieces; piece n is bytes[start[n]:start[n + 1]]."""
    start = np.cumsum([0, *map(len, pieces)])
    return np.frombuffer(bytearray().join(pieces), np.uint8), start


def _writable(column: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Answer the column as the kernels' signatures want it: arrays over bytes objects are read-only."""
    return column if column.flags.writeable else column.copy()
