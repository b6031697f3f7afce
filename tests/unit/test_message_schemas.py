"""That the schemas of changes and dead letters say what is written, and no more."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from config.policy_file import load_policy
from config.schema_check import schema
from scoring.decoder import Decoder
from scoring.events import DeadLetter, Envelope, LadderChange, Reason
from scoring.farewell import farewell
from scoring.match import TEXT_FIELDS
from scoring.shard import Shard
from scoring.state import CAUSES
from scoring.tables import compile_policy
from scoring.wire import RULES
from sinks import change_topic, dead_letters
from tests.unit.docs_examples import FAR_MS, ROOT
from tests.unit.message_schemas import NAMES, dead_letter_of, headers_of, problems
from tests.unit.test_change_topic import CHANGE

T0 = 1_788_220_800_000  # 2026-09-01T00:00:00Z
ERASED: dict[str, Any] = {
    "cause": "erase", "to_rung": None, "to_rank": None, "cause_event_id": None, "next_rung": None,
    "next_points": None, "falls_at_ms": None,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "rise": {},
    "rise to the top": {"next_rung": None, "next_points": None},
    "rise without a fall ahead": {"falls_at_ms": None},
    "rise by a refund": {"cause": "refund"},
    "fall at an event": {"from_rank": 2, "to_rank": 1},
    "fall by a refund": {"cause": "refund", "from_rank": 2, "to_rank": 1},
    "fall by time": {"cause": "time", "cause_event_id": None, "from_rank": 2, "to_rank": 1},
    "fall to the lowest": {"from_rank": 1, "to_rank": 0, "falls_at_ms": None},
    "rise by policy": {"cause": "policy", "cause_event_id": None},
    "fall by policy": {"cause": "policy", "cause_event_id": None, "from_rank": 2, "to_rank": 1},
    "policy, top": {"cause": "policy", "cause_event_id": None, "next_rung": None, "next_points": None},
    "erase": ERASED,
    "tag on": {"ladder": "new_user", "from_rung": "off", "to_rung": "on", "next_rung": None, "next_points": None},
    "undefined feature": {"why": (("silence", None, 0.0), ("activity", 1 / 3, 2 / 3))},
    "odd user": {"user_id": 'a\n\x00{"}:é'},
    "longest user": {"user_id": "u" * 256},
}  # fmt: skip
SOME_CHANGE: dict[str, Any] = json.loads(change_topic.entry_of(CHANGE).value or b"")
FULL_LETTER = DeadLetter(
    Reason.TOO_LARGE, "value: at most 65536", "orders", 3, 17, b"\xff" * 70_000, Envelope(b"\x80u", 2)
)
LETTERS: dict[str, DeadLetter] = {
    **{
        reason.label: DeadLetter(reason, "amount: must be there", "orders", 0, 0, b"{}", Envelope(b"u", 0))
        for reason in Reason
    },
    "tombstone": DeadLetter(Reason.NOT_JSON, "value: must be JSON, got null", "orders", 3, 17, b""),
    "all bytes": DeadLetter(Reason.NOT_JSON, "", "orders", 3, 17, bytes(range(256)), Envelope(b"\xff", 1)),
    "cut": FULL_LETTER,
    "just not cut": DeadLetter(Reason.TOO_LARGE, "", "orders", 3, 17, b"x" * 65_536),
    "long key": DeadLetter(Reason.NOT_JSON, "", "orders", 3, 17, b"", Envelope(b"k" * 1_025, 0)),
    "longest key": DeadLetter(Reason.NOT_JSON, "", "orders", 3, 17, b"", Envelope(b"k" * 1_024, 0)),
    "odd detail": DeadLetter(Reason.WRONG_TYPE, "\ud800 é\n", "orders", 3, 17, b"[]"),
}


def change_problems(change: LadderChange) -> list[str]:
    """List what is wrong with a change as it is rendered, value and headers."""
    entry = change_topic.entry_of(change)
    found = problems("change", json.loads(entry.value or b""))
    return found + problems("change#/$defs/headers", headers_of(entry))


def paths(document: Any, *before: str | int) -> Iterator[tuple[str | int, ...]]:
    """List the paths to every key of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        if isinstance(key, str):
            yield (*before, key)
        if isinstance(value, dict | list):
            yield from paths(value, *before, key)


def changed(document: Any, path: tuple[str | int, ...], *value: object) -> Any:
    """Copy a document with another value at a path, or without the key where no value is given."""
    copy = json.loads(json.dumps(document))
    at = copy
    for key in path[:-1]:
        at = at[key]
    if value:
        at[path[-1]] = value[0]
    else:
        del at[path[-1]]
    return copy


@pytest.mark.parametrize("name", NAMES)
def test_message_schema__is_a_json_schema(name: str) -> None:
    """Each is sound, has an id of its own, and its examples are valid."""
    document = schema(name)
    Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:tierwise:{name}:1"
    for example in document.get("examples", []):
        assert problems(name, example) == []


def test_event_schema__names_every_field_that_is_read() -> None:
    """The fields of the schema are those of the decoder, none more."""
    assert set(schema("event")["properties"]) == {*RULES} >= {*TEXT_FIELDS}


@pytest.mark.parametrize("kind", KINDS)
def test_change_schema__admits_what_is_written(kind: str) -> None:
    """Value and headers of every kind of change are valid."""
    assert change_problems(msgspec.structs.replace(CHANGE, **KINDS[kind])) == []


def test_change_schema__kinds_cover_every_cause() -> None:
    """No cause that the code knows is left out, above or in the schema."""
    causes = {*CAUSES, "erase"}
    assert {kind.get("cause", "event") for kind in KINDS.values()} == causes
    assert set(schema("change")["properties"]["cause"]["enum"]) == causes


def test_change_schema__admits_what_the_shipped_policy_publishes() -> None:
    """Rises, falls by time, what a refund takes back and a farewell, as the kernels make them, are valid."""
    policy = load_policy(ROOT / "config" / "policies" / "ecommerce.yaml")
    order = {"event_id": "e1", "user_id": "u", "type": "order_paid", "event_time": T0}
    order |= {"order_id": "o1", "amount": 9_000}
    back = order | {"event_id": "e2", "type": "order_refunded", "event_time": T0 + 1}
    later = order | {"event_id": "e3", "order_id": "o2", "event_time": T0 + 2}
    values = [json.dumps(event).encode() for event in (order, back, later)]
    shard = Shard(compile_policy(policy, 1, 0), 0, ("orders",), 0)
    shard.add(Decoder(policy, 0).decode(0, 0, values, np.arange(3), np.full(3, FAR_MS)))
    shard.advance([True], [False])
    shard.fire(FAR_MS)
    plan = shard.take_commit()
    assert plan is not None
    changes = [change for chunk in plan.chunks for change in chunk.changes]
    changes += farewell(shard.users, 0, FAR_MS)
    assert {change.cause for change in changes} == {"event", "refund", "time", "erase"}
    for change in changes:
        assert change_problems(change) == []


@pytest.mark.parametrize("path", [*paths(SOME_CHANGE)], ids=str)
def test_change_schema__knows_which_keys_are_needed(path: tuple[str | int, ...]) -> None:
    """Without a key that every rise has a change is refused; one that may be absent may."""
    optional = {("next",), ("falls_at",)}
    is_value = path[0] == "why" and path[-1] == "value"
    assert (problems("change", changed(SOME_CHANGE, path)) == []) is (path in optional or is_value)


@pytest.mark.parametrize("path", [*paths(SOME_CHANGE)], ids=str)
def test_change_schema__refuses_null_and_other_types(path: tuple[str | int, ...]) -> None:
    """No key is ever null, nor a list of lists."""
    for value in (None, [[]], True):
        assert problems("change", changed(SOME_CHANGE, path, value)), value


@pytest.mark.parametrize("at", [(), ("next",), ("why", 0)], ids=str)
def test_change_schema__refuses_unknown_keys(at: tuple[str | int, ...]) -> None:
    """A key that this release does not write is an error, at every depth."""
    assert problems("change", changed(SOME_CHANGE, (*at, "colour"), 1)) != []


@pytest.mark.parametrize(
    "wrong",
    [
        {"cause": "manual"}, {"cause": "erase"}, {"cause": "time"}, {"cause": "policy"}, {"seq": 0}, {"seq": 1.5},
        {"direction": "sideways"}, {"effective_at": "2026-09-01T08:00:00Z"}, {"effective_at": 1}, {"user_id": ""},
        {"policy": "ecommerce"}, {"ladder": "Tier"}, {"from_rank": -1}, {"next": {"rung": "gold", "points": -1}},
    ],
    ids=str,
)  # fmt: skip
def test_change_schema__refuses_what_is_never_written(wrong: dict[str, Any]) -> None:
    """A cause with the keys of another, and values outside their range, are refused."""
    assert problems("change", SOME_CHANGE | wrong) != []


def test_change_schema__an_erased_user_goes_nowhere() -> None:
    """The last change of a user has no rung to go to, nor anything that would come after."""
    erased = json.loads(change_topic.entry_of(msgspec.structs.replace(CHANGE, **ERASED)).value or b"")
    for key in ("to", "to_rank", "next", "falls_at", "cause_event_id"):
        assert problems("change", erased | {key: SOME_CHANGE[key]}) != [], key
    assert problems("change", erased | {"direction": "up"}) != []


@pytest.mark.parametrize("letter", LETTERS)
def test_dead_letter_schema__admits_what_is_written(letter: str) -> None:
    """Key, value and headers of every kind of dead letter are valid."""
    entry = dead_letters.entry_of(LETTERS[letter], T0)
    assert problems("dead-letter", dead_letter_of(entry)) == []


def test_dead_letter_schema__lists_the_reasons_in_their_order() -> None:
    """The closed list of the code is the one of the schema."""
    reasons = schema("dead-letter")["$defs"]["headers"]["properties"]["reason"]["enum"]
    assert reasons == [reason.label for reason in Reason]


@pytest.mark.parametrize("kind", ["change", "dead-letter"])
def test_headers__needed_ones_are_needed_and_unknown_ones_refused(kind: str) -> None:
    """Headers are as closed as the values."""
    letter = dead_letters.entry_of(FULL_LETTER, T0)
    headers = headers_of(letter if kind == "dead-letter" else change_topic.entry_of(CHANGE))
    reference, optional = f"{kind}#/$defs/headers", {"attempt", "original_size"}
    assert problems(reference, headers) == []
    for name in headers:
        rest = {other: value for other, value in headers.items() if other != name}
        assert (problems(reference, rest) == []) is (name in optional), name
        assert problems(reference, headers | {name: None}) != [], name
        if name not in ("detail", "topic", "ce_partitionkey"):
            assert problems(reference, headers | {name: "?"}) != [], name
    assert problems(reference, headers | {"colour": "red"}) != []


def test_dead_letter_schema__refuses_what_was_not_cut_as_it_says() -> None:
    """A value is at most 64 KiB, a key 1 KiB, and only a full one was cut."""
    whole = dead_letter_of(dead_letters.entry_of(FULL_LETTER, T0))
    assert problems("dead-letter", whole | {"value": "x" * 65_537}) != []
    assert problems("dead-letter", whole | {"value": "x" * 65_535}) != []
    assert problems("dead-letter", whole | {"key": "x" * 1_025}) != []
    assert problems("dead-letter", whole | {"colour": "red"}) != []
