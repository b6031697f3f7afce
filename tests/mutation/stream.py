"""This file sends mutated messages: of every kind that is read, about half of them still events."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import decode as bench
from benchmarks.generator import events
from flows.messages import NO_TIME_MS
from tests.mutation.dice import Dice
from tests.mutation.members import Members, doubtful, kept, members_of, written
from tests.mutation.texts import damaged, spliced, wrapped
from tests.mutation.values import FUTURE_TOLERANCE_MS, NOW_MS
from tests.property.test_decoder_fast_path import good_message
from tests.strategies import RUBBISH

EVENT_BYTES_MAX = 6000
ORIGINALS = 600
"""Of each source."""


class Message(NamedTuple):
    """Hold what Kafka hands over of one message."""

    value: bytes | None
    key: bytes | None
    ingest_time_ms: int


def mutated_messages(seed: int) -> Iterator[Message]:
    """Send without end; the same for the same seed."""
    dice, originals = Dice(seed), originals_of(seed)
    apart = [members_of(original) for original in originals]
    while True:
        for value in mutated(apart, dice):
            yield Message(value, message_key(value, dice), ingest_time_ms(dice))


def originals_of(seed: int) -> list[bytes]:
    """Write good messages as the generators of benchmarks and tests do, orders and refunds among them."""
    rng = random.Random(seed)
    types = ("page_view", "add_to_cart", "order_refunded", "search")
    sources = (
        [good_message(rng) for _ in range(ORIGINALS)],
        [message.value for message in events(ORIGINALS, 500, NOW_MS)],
        bench.messages(ORIGINALS, types[:3:2] if seed % 2 else types, 0.0, rng),
    )
    return [value for source in sources for value in source if value]


def mutated(originals: list[Members], dice: Dice) -> list[bytes | None]:
    """Make one message, now and then two that stand one behind the other."""
    how = dice.below(100)
    members = dice.one(originals)
    if how < 34:
        return [written(kept(members, dice), dice)]
    if how < 66:
        return [written(doubtful(kept(members, dice) if dice.percent(30) else members, dice), dice)]
    if how < 90:
        return [damaged(written(members, dice), dice)]
    message = written(members, dice)
    at = dice.below(len(message))
    if how < 92:
        return [message[:at]]
    if how < 94:  # What a scan that ran over the end of the first would find there.
        return [message[:at], message[at:]]
    if how < 96:
        return [spliced(message, written(dice.one(originals), dice), dice)]
    if how < 98:
        return [wrapped(message, dice)]
    if how < 99:
        return [filled(message, EVENT_BYTES_MAX + dice.below(3) - 1)]
    rubbish = dice.one(RUBBISH + list(bench.RUBBISH))
    return [damaged(rubbish, dice) if rubbish and dice.percent(50) else rubbish]


def filled(message: bytes, size: int) -> bytes:
    """Bring a message to a size with spaces in front of its end."""
    return message[:-1] + b" " * (size - len(message)) + message[-1:]


def message_key(value: bytes | None, dice: Dice) -> bytes | None:
    """Draw a key, of the message's user or not: decoding does not look at it, a dead letter keeps it."""
    return dice.one((None, b"", b"u1", b"\xff\x00", (value or b"")[:20]))


def ingest_time_ms(dice: Dice) -> int:
    """Draw the broker's stamp, on the border of the future now and then."""
    if dice.percent(80):
        return NOW_MS
    border = NOW_MS - FUTURE_TOLERANCE_MS
    return dice.one((border - 1, border, border + 1, NOW_MS - 60_000, 0, NO_TIME_MS))
