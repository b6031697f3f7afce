"""
This file says what decoding has to answer, without the code that is tested.

Two readers answer, and have to agree: Python's json and msgspec, both with the rules of
tests/reference_decode.py on exact Decimals. scoring/wire.py parses with msgspec, too, but has rules of its own;
hashes of ids are taken from scoring/hashing.py, which is not tested here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from scoring.events import DECODED, IGNORED_TYPE, Int64s, Reason
from scoring.hashing import hash_spans
from scoring.policy import Policy
from tests.mutation.stream import EVENT_BYTES_MAX, Message
from tests.mutation.values import FUTURE_TOLERANCE_MS, NOW_MS
from tests.reference_decode import Refusal, Refused, decode, number, parsed, refuse_depth
from tests.reference_features import holds

EXACT = msgspec.json.Decoder(float_hook=number)
GOOD = {"event_id": "e", "user_id": "u", "type": "order_paid", "event_time": Decimal(NOW_MS), "order_id": "o"}
DISAGREEMENT = "readers disagree"
FATES = {reason.label: reason.value for reason in Reason} | {DISAGREEMENT: -2}

Outcome = dict[str, Any] | Refusal


def outcome_of(policy: Policy, message: Message) -> Outcome:
    """Read one message with Python's json; msgspec has to say the same."""
    value, limits = message.value, (message.ingest_time_ms, FUTURE_TOLERANCE_MS, EVENT_BYTES_MAX)
    outcome = decode(policy, value, *limits)
    by_msgspec = decode(policy, value, *limits, parse=parsed_by_msgspec)
    if outcome == by_msgspec or (is_not_json(outcome) and is_not_json(by_msgspec)):
        return outcome
    return DISAGREEMENT, f"json: {outcome}, msgspec: {by_msgspec}"


def is_not_json(outcome: Outcome) -> bool:
    """Tell whether a message is no JSON; each reader has its own words for why."""
    return isinstance(outcome, tuple) and outcome[0] == "not_json"


def parsed_by_msgspec(value: bytes | None) -> dict[str, Any]:
    """Read JSON with msgspec; of what it leaves to others, whole numbers of over 4300 digits, answer as json does."""
    try:
        document = EXACT.decode(value or b"")
    except msgspec.ValidationError:
        return parsed(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused("not_json", str(error)) from error
    refuse_depth((value or b"").decode())
    if not isinstance(document, dict):
        raise Refused("wrong_type", "the message is no object")
    return {key: Decimal(one) if type(one) is int else one for key, one in document.items()}


def blames(policy: Policy, value: bytes, reason: str, field: str) -> bool:
    """Tell whether a field alone makes a message a dead letter; of several that do, any may be named."""
    try:
        document = parsed(value)
        alone = {**GOOD, "amount": Decimal(1)} | {field: document.get(field)}
        answer = decode(policy, b"", NOW_MS, FUTURE_TOLERANCE_MS, EVENT_BYTES_MAX, parse=lambda _: alone)
    except Refused:
        return False
    return isinstance(answer, tuple) and answer == (reason, field)


def columns_of(policy: Policy, outcomes: Sequence[Outcome]) -> dict[str, Int64s]:
    """Lay out what decoding has to fill, by the names of EventBatch."""
    return {
        "fate": np.array([FATES[one[0]] if isinstance(one, tuple) else DECODED for one in outcomes]),
        "type": np.array([kind_of(policy, one) for one in outcomes]),
        "event_time_ms": numbers_of(outcomes, "event_time_ms"),
        "amount_minor": numbers_of(outcomes, "amount_minor"),
        "match": np.array([match_of(policy, one) for one in outcomes]),
        "event_id_hash": hashes_of(texts_of(outcomes, "event_id")),
        "order_id_hash": hashes_of(texts_of(outcomes, "order_id")),
    }


def numbers_of(outcomes: Sequence[Outcome], name: str) -> Int64s:
    """Take one number of each event, 0 where there is none."""
    return np.array([0 if isinstance(one, tuple) else one[name] or 0 for one in outcomes])


def texts_of(outcomes: Sequence[Outcome], name: str) -> list[bytes]:
    """Take one text of each event, empty where there is none."""
    return [b"" if isinstance(one, tuple) else (one[name] or "").encode() for one in outcomes]


def hashes_of(texts: list[bytes]) -> Int64s:
    """Hash texts; 0 for those that are empty."""
    end = np.cumsum(np.array([len(text) for text in texts]))
    start = np.concatenate((np.zeros(1, np.int64), end[:-1]))
    return np.where(end > start, hash_spans(np.frombuffer(b"".join(texts), np.uint8), start, end), 0)


def kind_of(policy: Policy, outcome: Outcome) -> int:
    """Find the index of an event's type."""
    if isinstance(outcome, tuple):
        return IGNORED_TYPE
    return next((n for n, event in enumerate(policy.events) if event.name == outcome["type"]), IGNORED_TYPE)


def match_of(policy: Policy, outcome: Outcome) -> int:
    """Collect the features that count an event."""
    if isinstance(outcome, tuple):
        return 0
    return sum(
        1 << number
        for number, feature in enumerate(policy.features)
        if outcome["type"] in feature.events and all(holds(policy, where, outcome) for where in feature.where)
    )
