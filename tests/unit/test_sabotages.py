"""The campaign's controls fit the program they take something from."""

import inspect
from collections.abc import Iterator
from types import FunctionType

import pytest

from flows.commit import Commit
from flows.score import Score
from scoring.shard import Shard
from sinks import relay, shard_write
from sinks.relay import Relay
from sinks.shard_link import ShardLink
from sinks.shard_store import ShardStore
from sinks.shard_write import ShardWrite
from tests.faults.sabotage import SABOTAGES

TOUCHED = (Commit, Score, Shard, Relay, ShardLink, ShardStore, ShardWrite, relay, shard_write)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = [(place, dict(vars(place))) for place in TOUCHED]
    yield
    for place, own in before:
        for name, value in own.items():
            if vars(place)[name] is not value:
                setattr(place, name, value)


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage__takes_calls_as_what_it_replaces(name: str) -> None:
    before = {(place, key): value for place in TOUCHED for key, value in vars(place).items()}

    SABOTAGES[name]()

    changed = {at: vars(at[0])[at[1]] for at, value in before.items() if vars(at[0])[at[1]] is not value}
    assert changed
    for at, replacement in changed.items():
        if isinstance(replacement, FunctionType):
            _assert_takes(inspect.signature(before[at]), inspect.signature(replacement))


def _assert_takes(calls: inspect.Signature, replacement: inspect.Signature) -> None:
    kinds = [parameter.kind for parameter in replacement.parameters.values()]
    by_name = [one for one in calls.parameters.values() if one.kind == one.KEYWORD_ONLY]
    missing = [one.name for one in by_name if one.name not in replacement.parameters]
    assert not missing or inspect.Parameter.VAR_KEYWORD in kinds
    positional = len(calls.parameters) - len(by_name)
    assert positional <= sum(kind != inspect.Parameter.VAR_KEYWORD for kind in kinds)
