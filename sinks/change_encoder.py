"""This file renders changes as messages of the change topic, packed as they lie in the outbox."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scoring.change_columns import ChangeColumns
from scoring.events import LadderChange
from scoring.policy import Policy
from sinks import outbox
from sinks.change_kernel import (
    FORM_SIZE_MAX,
    SLOTS_PER_PART,
    SLOTS_WITHOUT_PARTS,
    fill_changes,
    render_changes,
)
from sinks.change_topic import entry_of
from sinks.change_wording import change_wording_of

_IDS = 4
"""How often the user's id stands in a message."""


class ChangeEncoder:
    """
    Render changes under one policy; not for two threads.

    A kernel renders columns; what it cannot spell (texts with escapes, huge numbers), and changes that are objects
    already, go through change_topic.entry_of. Both give the same message.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy.label
        self._words = change_wording_of(policy)
        self._slots_max = SLOTS_WITHOUT_PARTS + SLOTS_PER_PART * self._words.part.shape[1]
        longest = int(np.diff(self._words.start).max())
        self._size_max = self._slots_max * (longest + FORM_SIZE_MAX)
        self._buffer = np.empty(1 << 20, np.uint8)

    def packed(self, changes: Sequence[LadderChange], start: Sequence[int]) -> list[bytes]:
        """
        Answer the messages of changes[start[n]:start[n + 1]] one behind the other, each as outbox.to_bytes packs it.
        """
        if isinstance(changes, ChangeColumns) and changes.policy == self._policy and len(changes):
            messages, end = self._rendered(changes)
            cuts = [0, *end]
            return [bytes(messages[cuts[first] : cuts[last]]) for first, last in pairwise(start)]
        return [b"".join(map(_spelled, changes[first:last])) for first, last in pairwise(start)]

    def _rendered(self, changes: ChangeColumns) -> tuple[memoryview, list[int]]:
        """Answer the messages, which hold until the next call, and where each ends."""
        words, total = self._words, len(changes)
        users, causes = (changes.user_bytes, changes.user_start), (changes.cause_bytes, changes.cause_start)
        slots = np.empty((total, self._slots_max, 3), np.int64)
        count, end, plain = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.bool_)
        fill_changes(
            slots,
            count,
            plain,
            changes.facts,
            changes.score,
            changes.values,
            changes.points,
            *users,
            *causes,
            words.cause,
            words.from_rung,
            words.to_rung,
            words.next_rung,
            words.enter_at,
            words.part,
            words.parts,
            words.rungs,
        )
        ids_size = _IDS * int(users[1][-1] - users[1][0]) + int(causes[1][-1] - causes[1][0])
        if (size_max := total * self._size_max + ids_size) > self._buffer.size:
            self._buffer = np.empty(size_max, np.uint8)
        out = self._buffer
        size = render_changes(out, end, slots, count, plain, *users, *causes, words.arena, words.start)
        messages = memoryview(out)[:size]  # type: ignore[arg-type]
        if plain.all():
            return messages, end.tolist()
        pieces = [
            bytes(messages[first:last]) if fits else _spelled(changes[n])
            for n, (fits, (first, last)) in enumerate(
                zip(plain.tolist(), pairwise([0, *end.tolist()]), strict=True)
            )
        ]
        return memoryview(b"".join(pieces)), np.cumsum([len(piece) for piece in pieces]).tolist()


def _spelled(change: LadderChange) -> bytes:
    return outbox.to_bytes(entry_of(change))
