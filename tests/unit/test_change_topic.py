"""This file pins the messages of the change topic and of the dead-letter topic byte for byte."""

import json

import msgspec

from scoring.events import DeadLetter, Envelope, LadderChange, Reason
from sinks import change_topic, dead_letters

CONTRACT_EXAMPLE = (
    '{"user_id":"u42","seq":57,"ladder":"tier","from":"silver","to":"gold","from_rank":1,"to_rank":2,'
    '"direction":"up","cause":"event","cause_event_id":"ord-991","score":71.24,'
    '"effective_at":"2026-09-01T08:00:00.000Z","previous_since":"2026-05-01T00:00:00.000Z",'
    '"next":{"rung":"platinum","points":8.76},"falls_at":"2026-10-20T00:00:00.000Z",'
    '"why":[{"feature":"spend_90d","value":2140.0,"points":42.1},'
    '{"feature":"activity","value":130.2,"points":29.14}],"policy":"ecommerce@1"}'
)
CHANGE = LadderChange(
    user_id="u42",
    seq=57,
    ladder="tier",
    from_rung="silver",
    to_rung="gold",
    from_rank=1,
    to_rank=2,
    cause="event",
    cause_event_id="ord-991",
    score=71.24,
    effective_at_ms=1_788_249_600_000,
    previous_since_ms=1_777_593_600_000,
    next_rung="platinum",
    next_points=8.76,
    falls_at_ms=1_792_454_400_000,
    why=(("spend_90d", 2140.0, 42.1), ("activity", 130.2, 29.14)),
    policy="ecommerce@1",
)


def test_change_entry__is_the_contracts_example() -> None:
    """The value is the example of the contract, byte for byte, and the key is the user."""
    entry = change_topic.entry_of(CHANGE)
    assert entry.value == CONTRACT_EXAMPLE.encode()
    assert (entry.kind, entry.key) == ("change", b"u42")


def test_change_entry__headers_are_cloudevents_in_binary_mode() -> None:
    """All attributes of CloudEvents 1.0 stand in the headers; the source has no version."""
    assert dict(change_topic.entry_of(CHANGE).headers) == {
        "ce_specversion": b"1.0",
        "ce_type": b"tierwise.ladder.changed.v1",
        "content-type": b"application/json",
        "ce_id": b"u42:57",
        "ce_source": b"/tierwise/ecommerce",
        "ce_time": b"2026-09-01T08:00:00.000Z",
        "ce_partitionkey": b"u42",
    }


def test_change_entry__leaves_out_what_does_not_apply() -> None:
    """A fall by time from the top, and an erasure, have no keys for what does not exist; none is null."""
    fallen = msgspec.structs.replace(
        CHANGE, cause="time", cause_event_id=None, next_rung=None, next_points=None, falls_at_ms=None
    )
    document = json.loads(change_topic.entry_of(fallen).value or b"")
    assert not {"cause_event_id", "next", "falls_at"} & document.keys()
    erased = msgspec.structs.replace(fallen, cause="erase", to_rung=None, to_rank=None)
    document = json.loads(change_topic.entry_of(erased).value or b"")
    assert not {"to", "to_rank"} & document.keys()
    assert document["direction"] == "down"


def test_change_entry__an_undefined_feature_has_no_value() -> None:
    """A part whose feature is undefined is listed with its points alone; numbers keep six decimals."""
    change = msgspec.structs.replace(CHANGE, why=(("silence", None, 0.0), ("activity", 1 / 3, 2 / 3)))
    document = json.loads(change_topic.entry_of(change).value or b"")
    assert document["why"] == [
        {"feature": "silence", "points": 0.0},
        {"feature": "activity", "value": 0.333333, "points": 0.666667},
    ]


def test_change_entry__hostile_user_ids_survive() -> None:
    """Control characters, braces and quotes in a user id come back from key, headers and value unchanged."""
    user_id = 'a\n\x00{"}:é'
    entry = change_topic.entry_of(msgspec.structs.replace(CHANGE, user_id=user_id))
    assert json.loads(entry.value or b"")["user_id"] == user_id
    assert entry.key == user_id.encode()
    assert dict(entry.headers)["ce_id"] == f"{user_id}:57".encode()


def test_dead_letter_entry__carries_where_and_why() -> None:
    """The value is the original message, the headers say what was wrong with it and where it lay."""
    letter = DeadLetter(
        Reason.OUT_OF_RANGE, "amount: must be >= 0, got -3", "orders", 3, 17, b'{"amount":-3}'
    )
    entry = dead_letters.entry_of(letter, failed_at_ms=1_788_249_600_001)
    assert (entry.kind, entry.key, entry.value) == ("dead_letter", None, b'{"amount":-3}')
    assert entry.headers == (
        ("reason", b"out_of_range"),
        ("detail", b"amount: must be >= 0, got -3"),
        ("topic", b"orders"),
        ("partition", b"3"),
        ("offset", b"17"),
        ("failed_at", b"2026-09-01T08:00:00.001Z"),
    )


def test_dead_letter_entry__carries_key_and_attempt_on() -> None:
    """What was replayed says so again; a key comes along unless it is longer than any user id may be."""
    letter = DeadLetter(Reason.NOT_JSON, "", "orders", 3, 17, b"", Envelope(b"u1", 2))
    entry = dead_letters.entry_of(letter, failed_at_ms=0)
    assert (entry.key, entry.headers[-1]) == (b"u1", ("attempt", b"2"))
    letter = DeadLetter(Reason.NOT_JSON, "", "orders", 3, 17, b"", Envelope(b"k" * 1_025, 0))
    entry = dead_letters.entry_of(letter, failed_at_ms=0)
    assert (entry.key, entry.headers[-1][0]) == (None, "failed_at")


def test_dead_letter_entry__is_cut_to_64_kib() -> None:
    """A message longer than 64 KiB is cut and its true size named."""
    letter = DeadLetter(Reason.TOO_LARGE, "70000 bytes", "orders", 0, 0, b"x" * 70_000)
    entry = dead_letters.entry_of(letter, failed_at_ms=0)
    assert entry.value == b"x" * 65_536
    assert ("original_size", b"70000") in entry.headers
