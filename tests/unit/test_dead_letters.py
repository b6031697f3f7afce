"""Tests of dead letters as they are read, worded and chosen for a replay."""

import json
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Message

from flows.cli import main
from flows.dead_letters.arguments import _time_ms
from flows.dead_letters.choice import Inputs, choose
from flows.dead_letters.letter import Letter, Place, Source
from flows.dead_letters.wording import count_line, document, json_line, line, pages, safe
from scoring.events import DeadLetter, Envelope, Reason
from sinks.dead_letters import attempt_in, entry_of, headers_of

FAILED_AT_MS = 1_788_249_600_001
PLACE = Place(1, 17)
INPUTS = Inputs({"orders": 4})


def letter(
    value: bytes = b"{}",
    place: Place = PLACE,
    reason: Reason = Reason.MISSING_FIELD,
    attempt: int = 0,
    key: bytes | None = b"u1",
    topic: str = "orders",
    partition: int = 3,
) -> Letter:
    """Make what the worker writes, and read it back."""
    found = DeadLetter(reason, "event_id: is missing", topic, partition, 5, value, Envelope(key, attempt))
    entry = entry_of(found, FAILED_AT_MS)
    return Letter.of(stored(entry.value, place, entry.key, list(entry.headers)))


def stored(value: bytes | None, place: Place, key: bytes | None = None, headers: Any = None) -> Message:
    """Make a message as the dead-letter topic holds it."""
    return Message(
        topic="d",
        partition=place[0],
        offset=place[1],
        key=key,
        value=value,
        headers=headers,
        timestamp=(1, 7),
    )


def test_letter__reads_what_the_worker_writes() -> None:
    """Place, source, reason, attempt, key and bytes come back."""
    found = letter(b'{"a":1}', attempt=2)
    assert (found.place, found.source) == (Place(1, 17), Source("orders", 3, 5))
    assert (found.reason, found.attempt, found.failed_at_ms) == ("missing_field", 2, FAILED_AT_MS)
    assert (found.key, found.value, found.original_size) == (b"u1", b'{"a":1}', None)
    assert letter(b"x" * 70_000, reason=Reason.TOO_LARGE).original_size == 70_000
    assert letter(key=b"k" * 2_000).key is None


def test_letter__of_a_stranger_is_read_too() -> None:
    """A message without our headers, or with nonsense in them, is no error."""
    bare = Letter.of(stored(None, Place(0, 0)))
    assert (bare.reason, bare.source, bare.attempt, bare.failed_at_ms) == ("-", None, 0, 7)
    odd = [
        ("reason", None),
        ("partition", b"-1"),
        ("topic", b"\xff"),
        ("offset", b"1"),
        ("failed_at", b"now"),
    ]
    strange = Letter.of(stored(b"\xff", Place(0, 1), headers=odd))
    assert (strange.reason, strange.source, strange.failed_at_ms) == ("-", None, 7)
    assert line(strange).startswith("0:1  1970-01-01T00:00:00.007Z  -  -  attempt 0  -  \\xff (1 bytes)")


@pytest.mark.parametrize("text", [b"two", b"-1", b"", b"1.0", b"1" * 30, "３".encode(), None])
def test_attempt__that_is_no_number_is_none(text: bytes | None) -> None:
    """Whatever a sender puts into a header of that name, it is no error."""
    assert attempt_in([("attempt", text)]) == 0
    assert attempt_in([("attempt", text), ("attempt", b"2")]) == 2


def test_headers__whose_names_are_not_utf8_are_none() -> None:
    """Where confluent-kafka cannot read a header's name, the message counts as one without headers."""

    class Unreadable:
        def headers(self) -> None:
            raise SystemError("returned a result with an exception set")

    assert headers_of(Unreadable()) == []


def test_line__cannot_move_a_terminal() -> None:
    """Control characters, escape sequences and signs that turn the direction are shown as escapes."""
    hostile = "\x1b[2J\r\n\x07\u202e\u2028é 日本".encode() + b"\xff\x00"
    shown = line(letter(hostile))
    assert shown.isprintable()
    assert "\\x1b[2J\\r\\n\\x07\\u202e\\u2028é 日本\\xff\\x00" in shown
    assert shown.startswith(
        "1:17  2026-09-01T08:00:00.001Z  missing_field  orders:3:5  attempt 0  event_id: is missing  "
    )
    assert len(line(letter(b"x" * 60_000))) < 250
    assert line(letter(b"\x1b" * 60_000)).isprintable()
    assert json_line(document(letter(hostile))).isprintable()


def test_document__has_the_whole_value_and_only_what_applies() -> None:
    """Text as text, other bytes in base64; no key is null."""
    assert json.loads(json_line(document(letter('{"é":1}'.encode())))) == {
        "place": "1:17", "failed_at": "2026-09-01T08:00:00.001Z", "reason": "missing_field",
        "detail": "event_id: is missing", "topic": "orders", "partition": 3, "offset": 5, "attempt": 0,
        "key": "u1", "value": '{"é":1}',
    }  # fmt: skip
    found = document(letter(b"\xff\xfe", key=None))
    assert "key" not in found
    assert (found["value_base64"], "value" in found) == ("//4=", False)


def test_pages__show_the_value_exactly() -> None:
    """A readable value stands there as it is; one that is not says what was escaped."""
    text = '{\n\t"note": "日本 \\u00e9"}'
    shown = pages(letter(text.encode(), attempt=1))
    assert shown[-1] == text
    assert {"place: 1:17", "key: u1", "attempt: 1", "reason: missing_field"} < set(shown)
    assert f"value: {len(text.encode())} bytes" in shown
    escaped = pages(letter(b"a\x1b\xff"))
    assert escaped[-1] == "a\\x1b\\xff"
    assert "value: 3 bytes; some are escaped, --raw writes them unchanged" in escaped
    assert safe("a\nb") == "a\\nb"


def test_count_line__names_every_reason() -> None:
    """The most frequent reason comes first; a limit is told when it left something out."""
    counts = Counter({"too_late": 2, "not_json": 30})
    assert count_line(counts) == count_line(counts, 32) == "32 dead letters: not_json 30, too_late 2"
    assert count_line(counts, 5) == "32 dead letters, the newest 5 shown: not_json 30, too_late 2"
    assert count_line(Counter()) == "no dead letters"


def test_choice__refuses_what_cannot_be_sent() -> None:
    """Cut values, spent attempts, other topics and strangers are counted by why, the others chosen."""
    letters = [
        letter(b"good", Place(0, 0)),
        letter(b"x" * 70_000, Place(0, 1)),
        letter(b"spent", Place(0, 2), attempt=3),
        letter(b"elsewhere", Place(0, 3), topic="tierwise.changes"),
        letter(b"nowhere", Place(0, 4), partition=4),
        Letter.of(stored(b"strange", Place(0, 5))),
        letter(b"once more", Place(0, 6), attempt=2),
    ]
    chosen = choose(letters, INPUTS, ())
    assert chosen.places == {Place(0, 0), Place(0, 6)}
    assert chosen.refused == {
        "cut, so not the original bytes": 1,
        "replayed 3 times already": 1,
        "not of an input topic": 1,
        "of a partition that its topic does not have": 1,
        "without headers that say where it came from": 1,
    }


def test_choice__takes_the_same_bytes_once_at_their_last_attempt() -> None:
    """What was replayed and came back is not sent again as what it had been; elsewhere it is another message."""
    letters = [
        letter(b"a", Place(0, 0)),
        letter(b"a", Place(1, 0), attempt=1, reason=Reason.TOO_LATE),
        letter(b"a", Place(2, 0)),
        letter(b"a", Place(2, 1), partition=2),
        letter(b"b", Place(0, 1)),
        letter(b"b", Place(0, 2), attempt=3),
    ]
    chosen = choose(letters, INPUTS, ())
    assert chosen.places == {Place(1, 0), Place(2, 1)}
    assert (chosen.repeats, chosen.refused) == (3, {"replayed 3 times already": 1})
    assert choose(letters, INPUTS, ["missing_field"]).places == {Place(2, 1)}
    assert choose(letters, INPUTS, ["too_late"]).places == {Place(1, 0)}


def test_since__takes_times_and_durations() -> None:
    """A time needs its offset; a duration counts back from now."""
    assert _time_ms("2026-09-01T08:00:00.001Z") == _time_ms("2026-09-01T10:00:00.001+02:00") == FAILED_AT_MS
    assert 0 <= _time_ms("1h") - _time_ms("2h") - 3_600_000 + 60_000 < 120_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"], ["show", "17"], ["show", "0:x"], ["show", "-1:0"], ["replay"], ["replay", "0:1", "--all"],
        ["list", "--reason", "bad_luck"], ["list", "--since", "2026-09-01T08:00:00"],
        ["list", "--since", "yesterday"], ["list", "--limit", "0"], [],
    ],
)  # fmt: skip
def test_usage__that_is_wrong_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever cannot be meant is refused before anybody is contacted."""
    try:
        code = main(["dead-letters", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert "dead-letters" in capsys.readouterr().err


def test_replay__tells_cloud_events_apart_by_their_headers() -> None:
    """Events whose payload is the same, or empty, are several where their headers differ, and keep these."""

    def cloud_event(place: Place, event_id: bytes) -> Letter:
        plain = stored(b"{}", PLACE, headers=list(letter().headers))
        headers = [*plain.headers(), ("ce_id", event_id), ("content-type", b"application/json")]
        return Letter.of(stored(b"{}", place, headers=headers))

    letters = [cloud_event(Place(0, 0), b"a"), cloud_event(Place(0, 1), b"b"), cloud_event(Place(0, 2), b"a")]
    assert choose(letters, INPUTS, ()).places == {Place(0, 1), Place(0, 2)}
    assert letters[0].event_headers == [("ce_id", b"a"), ("content-type", b"application/json")]
    assert document(letters[0])["headers"] == {"ce_id": "a", "content-type": "application/json"}
    assert letter().event_headers == []
