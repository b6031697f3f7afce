"""
This file decodes mutated messages as the worker does, and compares each with what the contract says of it.

    make test-mutations                                                   a million of them
    TIERWISE_TEST_MUTATIONS=3000000 TIERWISE_TEST_MUTATIONS_SEED=7 ...    more, and others
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np

from flows.decode import Decode
from flows.items import RawBatch
from scoring.decoder import Decoder
from scoring.events import Envelope, EventBatch, Reason
from scoring.policy import Feature, Policy, Where
from scoring.text_spans import gathered
from scoring.wire import WireEvent
from tests.mutation.expected import Outcome, blames, columns_of, outcome_of, texts_of
from tests.mutation.memory import HOSTILE, MemoryBeforeWall
from tests.mutation.stream import EVENT_BYTES_MAX, Message, mutated_messages
from tests.mutation.values import FUTURE_TOLERANCE_MS
from tests.unit.policies import SHOP_FEATURES, shop_policy

COUNT = int(os.environ.get("TIERWISE_TEST_MUTATIONS", "50000"))
SEED = int(os.environ.get("TIERWISE_TEST_MUTATIONS_SEED", "1"))
BATCH_SIZES = (700, 1, 300, 1000, 17)
FEATURES = (
    *SHOP_FEATURES,
    Feature(
        "items", "total", events=("page_view", "add_to_cart"), where=(Where("item_id", "in", ("a", "é")),)
    ),
    Feature("at_home", "total", events=("add_to_cart",), where=(Where("scene", "in", ("app", "A", "x")),)),
    Feature("cut", "total", events=("order_refunded",), where=(Where("discount_amount", "present"),)),
    Feature("exact", "total", events=("order_refunded",), where=(Where("amount", "between", (), 0.5, 0.5),)),
)
POLICIES = [shop_policy(digits, FEATURES) for digits in (2, 0, 3, 4)]
REASONS = [reason for reason in Reason if reason <= Reason.FROM_THE_FUTURE]
"""Of decoding; those behind it are decided by what is stored of the user."""
DIFFERENCES_MAX = 5


class CountingDecoder(Decoder):
    """Count what the scan leaves to the checked path and lives."""

    checked_events = 0

    def _read_row(self, batch: EventBatch, row: int) -> WireEvent | None:
        event = super()._read_row(batch, row)
        self.checked_events += event is not None
        return event


def test_mutated_messages__decode_as_json_and_msgspec_read_them() -> None:
    """Whatever bytes arrive: the event that the contract says, or the dead letter; and both are plenty."""
    stream, memory = mutated_messages(SEED), MemoryBeforeWall(max(BATCH_SIZES) * (EVENT_BYTES_MAX + 1) + 64)
    stages = [(policy, CountingDecoder(policy, FUTURE_TOLERANCE_MS, EVENT_BYTES_MAX)) for policy in POLICIES]
    fates: Counter[str] = Counter()
    differences: list[str] = []
    for number, size in enumerate(cycle(BATCH_SIZES)):
        first = fates.total()
        if first == COUNT or len(differences) >= DIFFERENCES_MAX:
            break
        policy, decoder = stages[number % len(stages)]
        messages = list(islice(stream, min(size, COUNT - first)))
        outcomes = [outcome_of(policy, message) for message in messages]
        fates.update(outcome[0] if isinstance(outcome, tuple) else "event" for outcome in outcomes)
        values: Sequence[bytes | None] = [message.value for message in messages]
        if number // len(stages) % 2:
            values = memory.laid_out(
                values, EVENT_BYTES_MAX, HOSTILE[number // (2 * len(stages)) % len(HOSTILE)]
            )
        batch = decoded(decoder, messages, values, first)
        differences += differences_of(policy, batch, messages, outcomes)
    assert not differences, "\n".join(differences[:DIFFERENCES_MAX])
    assert_plenty(fates, sum(decoder.checked_events for _, decoder in stages))


def decoded(
    decoder: Decoder, messages: Sequence[Message], values: Sequence[bytes | None], first: int
) -> EventBatch:
    """Send one batch through the stage."""
    raw = RawBatch(
        partition=0,
        topic=0,
        values=values,
        offsets=np.arange(first, first + len(messages)),
        ingest_time_ms=np.array([message.ingest_time_ms for message in messages]),
        envelope_of=lambda row: Envelope(messages[row].key),
    )
    (batch,) = Decode(decoder, None)([raw])
    assert isinstance(batch, EventBatch)
    return batch


def differences_of(
    policy: Policy, batch: EventBatch, messages: Sequence[Message], outcomes: Sequence[Outcome]
) -> list[str]:
    """Compare every column, and every dead letter's detail, bytes and key."""
    wrong: dict[int, str] = {}
    for name, expected in columns_of(policy, outcomes).items():
        column = getattr(batch, name)
        for row in np.flatnonzero(column != expected).tolist():
            wrong.setdefault(row, f"{name} {column[row]}")
    for name, spans in (("user_id", batch.users), ("event_id", batch.event_ids)):
        text, start = gathered(spans)
        for row, expected_text in enumerate(texts_of(outcomes, name)):
            if (read := text[start[row] : start[row + 1]].tobytes()) != expected_text:
                wrong.setdefault(row, f"{name} {read!r}")
    dead = np.flatnonzero(batch.fate).tolist()
    if list(batch.details) != dead:
        wrong.setdefault(0, f"details of {list(batch.details)}, dead are {dead}")
    for row in dead:
        detail, envelope = batch.details.get(row, ""), batch.envelope_of(row)
        if (batch.values[row], envelope.key) != (messages[row].value, messages[row].key):
            wrong.setdefault(row, f"kept {batch.values[row]!r}, {envelope}")
        elif not names_what_is_wrong(policy, messages[row].value, outcomes[row], detail):
            wrong.setdefault(row, f"detail {detail!r}")
    return [f"{what}: expected {outcomes[row]} of {messages[row]}" for row, what in sorted(wrong.items())]


def names_what_is_wrong(policy: Policy, value: bytes | None, outcome: Outcome, detail: str) -> bool:
    """Tell whether a dead letter's detail names a field that is wrong, or the value as a whole."""
    if not isinstance(outcome, tuple):
        return False  # Its fate differs anyway.
    reason, field = outcome
    named = detail.partition(":")[0]
    if reason in ("too_large", "not_json") or " " in field:
        return named == "value"
    return named == field or blames(policy, value or b"", reason, named)


def assert_plenty(fates: Counter[str], checked_events: int) -> None:
    """See that there were events, of the scan and of the checked path, and dead letters of every reason."""
    total, events = fates.total(), fates["event"]
    shares = {fate: count / total for fate, count in fates.most_common()} | {
        "checked": checked_events / total
    }
    print({fate: f"{share:.2%}" for fate, share in shares.items()})
    assert events > total / 3, shares
    assert events - checked_events > total / 5, shares
    assert checked_events > total / 50, shares
    assert all(fates[reason.label] > total / 500 for reason in REASONS), shares
