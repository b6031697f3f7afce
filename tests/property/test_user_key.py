"""This file tests that a copied message is keyed by the user that the worker would read."""

import json
import random

import pytest

from flows.rekey.user_key import key_reader, user_key
from scoring.wire import WireEvent, WireReader
from tests.property.test_decoder_fast_path import good_message, mutated
from tests.unit.golden_formats import Golden, decode, goldens, mutants, shipped
from tests.unit.policies import shop_policy


@pytest.mark.parametrize("seed", range(3))
def test_user_key__is_the_workers_user(seed: int) -> None:
    """Whatever happens to the bytes of a message, if the worker can score it the copy has that user's key."""
    rng = random.Random(seed)
    reader = WireReader(shop_policy(), 65_536)
    good = [good_message(rng) for _ in range(1_000)]
    scored = 0
    for value in [*good, *(mutated(rng.choice(good), rng) for _ in range(10_000))]:
        event = reader.read(value)
        if isinstance(event, WireEvent):
            scored += 1
            assert user_key(value) == event.user_id, value
    assert scored > 2_000


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b'{"user_id":7,"user_id":"b"}', b"b"),
        (b'{"user_id":"a","user_id":7}', None),
        (b'{"n":' + b"9" * 5_000 + b',"user_id":"b"}', b"b"),
        (b'{"n":' + b"[" * 500 + b"]" * 500 + b',"user_id":"b"}', b"b"),
        (b"[" * 100_000, None),
        (json.dumps({"user_id": "é" * 128}).encode(), "é".encode() * 128),
        (json.dumps({"user_id": "é" * 129}).encode(), None),
        (b'{"user_id":""}', None),
        (b'{"user_id":null}', None),
        (b'{"user_id":"\\ud800"}', None),
        (b'{"user_id":"\xff"}', None),
        (b'{"type":"x"}', None),
        (b'["user_id"]', None),
        (b"", None),
        (None, None),
    ],
)
def test_user_key__of_odd_messages(value: bytes | None, key: bytes | None) -> None:
    """What only the checked parser reads is read; what no user can be made of has no key."""
    assert user_key(value) == key


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_key_reader__is_the_workers_user_in_every_format(golden: Golden) -> None:
    """In another format, too, a copy has the key of the user whom the worker scores, and no key is wrong."""
    values = [golden.value, *mutants(golden)]
    decoded = decode(values, shipped(golden.format), [golden.headers] * len(values))
    read = key_reader(shipped(golden.format), 65_536)
    keys = [read(value, list(golden.headers)) for value in values]
    assert keys[0] == b"u-2041"
    assert {
        key for row, key in enumerate(keys) if not decoded.fate[row] and key != decoded.user(row)
    } == set()
