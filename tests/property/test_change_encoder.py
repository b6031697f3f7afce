"""This file holds the kernel that renders changes against the spelling in Python, on random changes."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy_file import load_policy
from scoring.change_columns import ChangeColumns, names_of
from scoring.row import NEVER
from scoring.state import (
    CAUSES,
    CHANGE_WORDS,
    X_AT,
    X_CAUSE,
    X_FALLS_AT,
    X_FROM,
    X_LADDER,
    X_PREVIOUS_SINCE,
    X_SEQ,
    X_TO,
)
from scoring.text_spans import starts_of
from sinks import outbox
from sinks.change_encoder import ChangeEncoder
from sinks.change_topic import entry_of

POLICY = load_policy(Path(__file__).parents[2] / "config" / "policies" / "ecommerce.yaml")
NAMES = names_of(POLICY)
PARTS = max(len(names.features) for names in NAMES)
ENCODER = ChangeEncoder(POLICY)

TEXT = st.text(min_size=1, max_size=40) | st.text("abcdefg-0123", min_size=1, max_size=300)
USER = TEXT.map(lambda text: text.encode()).filter(lambda text: len(text) <= 256)
TIME_MS = st.integers(-(10**15), 10**15) | st.integers(1_500_000_000_000, 2_000_000_000_000)
DECIMAL = st.sampled_from(
    (
        0.0,
        -0.0,
        1e-6,
        9e-6,
        1e-5,
        0.5e-6,
        1.5e-6,
        99.9999995,
        999999999.9999999,
        1e9,
        2.0**33,
        8e15,
        1 / 3,
        -2.5,
    )
)
NUMBER = DECIMAL | st.floats(-1e10, 1e10) | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def changes(draw: st.DrawFn) -> ChangeColumns:
    """Draw up to four changes of the shipped policy."""
    total = draw(st.integers(1, 4))
    facts = np.zeros((total, CHANGE_WORDS), np.int64)
    score, values, points = np.zeros(total), np.zeros((total, PARTS)), np.zeros((total, PARTS))
    for n in range(total):
        ladder = draw(st.integers(0, len(NAMES) - 1))
        ranks = draw(st.permutations(range(len(NAMES[ladder].ladder.rungs))))
        facts[n, X_LADDER], facts[n, X_FROM], facts[n, X_TO] = ladder, ranks[0], ranks[1]
        facts[n, X_CAUSE] = draw(st.integers(0, len(CAUSES) - 1))
        facts[n, X_SEQ] = draw(st.integers(1, 10**12))
        facts[n, X_AT], facts[n, X_PREVIOUS_SINCE] = draw(TIME_MS), draw(TIME_MS)
        facts[n, X_FALLS_AT] = draw(TIME_MS | st.just(NEVER))
        score[n] = draw(NUMBER)
        values[n] = draw(st.lists(NUMBER | st.just(np.nan), min_size=PARTS, max_size=PARTS))
        points[n] = draw(st.lists(NUMBER, min_size=PARTS, max_size=PARTS))
    users = spans(draw(st.lists(USER, min_size=total, max_size=total)))
    causes = spans(
        [text.encode() for text in draw(st.lists(TEXT | st.just(""), min_size=total, max_size=total))]
    )
    return ChangeColumns(POLICY.label, NAMES, facts, score, values, points, *users, *causes)


def spans(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Lay texts out as columns do."""
    joined = np.frombuffer(b"".join(texts), np.uint8).copy()
    return joined, starts_of(np.array([len(text) for text in texts], np.int64))


@settings(max_examples=200, deadline=None)
@given(changes())
def test_change_encoder__kernel_and_python_spell_the_same(columns: ChangeColumns) -> None:
    """Keys, headers and values are the same byte for byte, whatever the change, and whatever stands around it."""
    unpacker = msgspec.msgpack.Decoder()
    for one in (columns, columns[1:], list(columns)):
        start = [0, 0, len(one) // 2, len(one)]
        packed = ENCODER.packed(one, start)
        assert packed[0] == b""
        messages = unpacked(packed[1], start[2]) + unpacked(packed[2], start[3] - start[2])
        assert messages == [unpacker.decode(outbox.to_bytes(entry_of(change))) for change in one]


def test_change_encoder__most_changes_do_not_need_python() -> None:
    """An ordinary change is rendered by the kernel: its value has the long head that only the kernel writes."""
    facts = np.zeros((1, CHANGE_WORDS), np.int64)
    facts[0, [X_TO, X_SEQ, X_FALLS_AT]] = 1, 7, NEVER
    columns = ChangeColumns(
        POLICY.label,
        NAMES,
        facts,
        np.ones(1),
        np.ones((1, PARTS)),
        np.ones((1, PARTS)),
        *spans([b"u1"]),
        *spans([b"e1"]),
    )
    assert b"\xc6\x00\x00" in ENCODER.packed(columns, [0, 1])[0]


def unpacked(packed: bytes, count: int) -> list[object]:
    """Read so many messages that stand one behind the other."""
    whole: list[object] = msgspec.msgpack.decode(b"\xdd" + count.to_bytes(4, "big") + packed)
    return whole
