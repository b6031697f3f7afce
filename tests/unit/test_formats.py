"""Tests of messages of other formats: what each becomes, and what is set aside."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from config.field_map import FieldMap, read_field_map
from config.field_paths import MESSAGE_HASH, MESSAGE_TIME
from config.schema_check import schema
from flows.decode import Decode
from flows.formats import originals
from flows.items import RawBatch
from scoring.decoder import EVENT_BYTES_MAX, Decoder
from scoring.events import DeadLetter, Envelope, EventBatch, Reason
from scoring.joined import joined
from scoring.wire import parse
from tests.unit.docs_examples import code_spans, example
from tests.unit.golden_formats import (
    FORMATS,
    POLICY,
    STAMP_MS,
    Golden,
    at,
    converter,
    decode,
    goldens,
    mutants,
    shipped,
)
from tests.unit.message_schemas import dead_letter_of, problems

COLUMNS = (
    "fate", "type", "event_time_ms", "event_id_hash", "order_id_hash", "amount_minor", "match", "user_hash",
)  # fmt: skip
ORDER: dict[str, Any] = {
    "messageId": "m1", "userId": "u1", "type": "track", "event": "Order Completed", "timestamp": STAMP_MS,
    "properties": {"order_id": "o1", "total": 27.5, "currency": "CNY"},
}  # fmt: skip
BODY: dict[str, Any] = {
    "user_id": "u1", "timestamp_micros": STAMP_MS * 1000,
    "events": [{"name": "purchase", "params": {"transaction_id": "T1", "value": 5, "currency": "CNY"}}],
}  # fmt: skip
HEADERS = [("ce_specversion", b"1.0"), ("ce_id", b"a1"), ("ce_type", b"share"), ("ce_subject", b"u1")]
TIMED = [*HEADERS, ("ce_time", b"2026-11-21T08:00:00Z")]


def reason_and_detail(value: bytes | None, field_map: FieldMap, headers: Any = ()) -> tuple[str, str]:
    """Say why a message is set aside."""
    decoded = decode([value], field_map, [headers])
    fate = int(decoded.fate[0])
    return (Reason(fate).label if fate else "", decoded.details.get(0, ""))


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_format__gives_the_native_event(golden: Golden) -> None:
    """A message becomes exactly the event beside it, its numbers digit by digit."""
    found = converter(shipped(golden.format)).convert(golden.value, golden.headers, STAMP_MS)
    assert parse(found.value or b"") == parse(golden.native)
    assert not found.notes


@pytest.mark.parametrize("name", FORMATS)
def test_format__counts_like_the_native_events(name: str) -> None:
    """The shipped policy sees the same columns, whichever form came in, and refuses none of them."""
    cases = [golden for golden in goldens() if golden.format == name]
    native = decode([golden.native for golden in cases])
    assert not native.fate.any(), native.details
    found = decode([golden.value for golden in cases], shipped(name), [golden.headers for golden in cases])
    for column in COLUMNS:
        assert np.array_equal(getattr(found, column), getattr(native, column)), column
    for golden in cases:
        assert problems("event", json.loads(golden.native)) == []


def test_formats__reach_every_type_of_the_shipped_policy() -> None:
    """Goldens show all types that a shop's tools can tell."""
    types = {json.loads(golden.native)["type"] for golden in goldens() if golden.format == "segment"}
    assert {event.name for event in POLICY.events} <= types


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "not_json", "value: must be JSON, got null"),
        (b"", "not_json", "value: must be JSON, got no bytes"),
        (b"{", "not_json", "value: must be JSON: "),
        (b'{"a":NaN}', "not_json", "value: must be JSON: "),
        (b"\xff", "not_json", "value: must be JSON: "),
        (b"[1]", "wrong_type", "value: must be a JSON object, got an array"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "too_large", "value: must have at most 65536 bytes, got 70008"),
        (at(ORDER, "messageId", ...), "missing_field", "event_id: must be there; read from messageId"),
        (at(ORDER, "userId", None), "missing_field", "user_id: must be there; read from userId"),
        (at(ORDER, "userId", ""), "missing_field", "user_id: must be there; read from userId"),
        (at(ORDER, "userId", "u" * 257), "out_of_range", "user_id: must have 1 to 256 bytes, got"),
        (at(ORDER, "userId", 17), "wrong_type", "user_id: must be a string, got 17; read from userId"),
        (at(ORDER, "timestamp", ...), "missing_field", "event_time: must be there; read from timestamp or"),
        (at(ORDER, "timestamp", "soon"), "wrong_type", "event_time: must be whole Unix milliseconds or"),
        (at(ORDER, "timestamp", STAMP_MS + 300_001), "from_the_future", "event_time: must be at most 300000 ms"),
        (at(ORDER, "event", 5), "wrong_type", "type: must be a string, got 5; read from event or type"),
        (at(ORDER, "event", {"a": None}), "wrong_type", "type: must be a string, got an object"),
        (at(ORDER, "properties", None), "missing_field", "order_id: must be there for this type; read from"),
        (at(ORDER, "properties", "x"), "wrong_type", "properties: must be an object, got 'x'"),
        (at(ORDER, "properties", [[None]]), "wrong_type", "properties: must be an object, got an array"),
        (at(ORDER, "properties.order_id", 1234), "wrong_type", "order_id: must be a string, got 1234"),
        (at(ORDER, "properties.order_id", {"a": {"b": None}}), "wrong_type", "order_id: must be a string, got an"),
        (at(ORDER, "properties.total", ...), "missing_field", "amount: must be there for this type; read from"),
        (at(ORDER, "properties.total", True), "wrong_type", "amount: must be a number or a decimal string, got"),
        (at(ORDER, "properties.total", "27,5"), "wrong_type", "amount: must be a number or a decimal string"),
        (at(ORDER, "properties.total", -1), "out_of_range", "amount: must be at least 0 and at most"),
        (at(ORDER, "properties.total", 10**400), "out_of_range", "amount: must be at least 0 and at most"),
        (at(ORDER, "properties.shipping", 40), "out_of_range", "amount: must be at least 0 and at most"),
        (at(ORDER, "properties.shipping", "x"), "wrong_type", "properties.shipping: must be a number or a"),
        (at(ORDER, "properties.shipping", []), "wrong_type", "properties.shipping: must be a number or a"),
        (at(ORDER, "properties.currency", "USD"), "out_of_range", "currency: must be CNY, as the policy says, got"),
        (at(ORDER, "properties.currency", 156), "wrong_type", "currency: must be CNY, as the policy says, got 156"),
        (at(ORDER, "properties.products", {}), "wrong_type", "properties.products: must be an array, got an"),
        (at(ORDER, "properties.products", [None, 5]), "", ""),
        (at(ORDER, "properties.products", [5]), "wrong_type", "properties.products[0]: must be an object, got 5"),
        (json.dumps(ORDER).encode().replace(b"27.5", b"1e400"), "out_of_range", "amount: must be at least 0"),
        (json.dumps(ORDER).encode().replace(b"27.5", b"9" * 5000), "out_of_range", "amount: must be at least"),
        (json.dumps(ORDER).encode().replace(b"27.5", b"1e-99999999"), "", ""),
    ],
)  # fmt: skip
def test_segment__what_is_wrong_has_its_reason(value: bytes | None, reason: str, detail: str) -> None:
    """A hostile message gets the reason of the contract, and a detail in the words of its own format."""
    found = reason_and_detail(value, shipped("segment"))
    assert (found[0], found[1][: len(detail)]) == (reason, detail)


def test_segment__money_keeps_every_digit() -> None:
    """No binary fraction comes between what was sent and what is rounded to minor units."""
    literal = "12345678901.2350000000000000000001"
    order = json.dumps(ORDER).encode().replace(b"27.5", literal.encode())
    found = converter(shipped("segment")).convert(order).value or b""
    assert parse(found)["amount"] == Decimal(literal)
    assert decode([order], shipped("segment")).amount_minor.tolist() == [1_234_567_890_124]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (at(BODY, "events", []), "wrong_type", "events: must be an array with exactly one member, got 0"),
        (at(BODY, "events", [{}, {}]), "wrong_type", "events: must be an array with exactly one member, got 2"),
        (at(BODY, "events", {"0": 1}), "wrong_type", "events: must be an array with exactly one member, got none"),
        (at(BODY, "events", [None]), "missing_field", "type: must be there; read from event_name or"),
        (at(BODY, "events", [7]), "wrong_type", "events[0]: must be an object, got 7"),
        (at(BODY, "events", None), "missing_field", "type: must be there"),
        (at(BODY, "user_id", ...), "missing_field", "user_id: must be there; read from user_id"),
        (at(BODY, "timestamp_micros", "x"), "wrong_type", "event_time: must be whole Unix milliseconds or"),
        (at(BODY, "timestamp_micros", -1), "out_of_range", "event_time: must be in the years 1970 to 9999"),
        (at(BODY, "timestamp_micros", "9" * 5000), "out_of_range", "event_time: must be in the years 1970"),
        (at(BODY, "timestamp_micros", 1e300), "out_of_range", "event_time: must be in the years 1970 to 9999"),
        (at(BODY, "timestamp_micros", STAMP_MS * 1000 + 0.5), "", ""),
        (at(BODY, "timestamp_micros", ...), "", ""),
        (at(BODY, "events.0.params.transaction_id", "(not set)"), "missing_field", "event_id: must be there; read"),
        (at(BODY, "events.0.params.currency", "USD"), "out_of_range", "currency: must be CNY"),
        (at(BODY, "events.0.params.currency", ...), "", ""),
        (at(BODY, "events.0.params", 3), "wrong_type", "events[0].params: must be an object, got 3"),
        (at(BODY, "event_params", 3), "wrong_type", "event_params: must be an array, got 3"),
    ],
)  # fmt: skip
def test_ga4__what_is_wrong_has_its_reason(value: bytes, reason: str, detail: str) -> None:
    """The same for GA4, and for a body with more than one event."""
    found = reason_and_detail(value, shipped("ga4"))
    assert (found[0], found[1][: len(detail)]) == (reason, detail)


@pytest.mark.parametrize(
    ("value", "headers", "reason", "detail"),
    [
        (None, [], "not_json", "value: must be JSON, got null"),
        (None, [("other", b"x"), ("ce_", None)], "missing_field", "event_id: must be there; read from id"),
        (b"", [("content-type", b"application/cloudevents+json")], "not_json", "value: must be JSON, got no"),
        (b"{", TIMED, "not_json", "value: must be JSON: "),
        (b"[]", [("content-type", b"application/cloudevents-batch+json")], "wrong_type", "value: must be a JSON"),
        (b"[]", TIMED, "wrong_type", "data: must be an object, got an array"),
        (b"{}", HEADERS, "missing_field", "event_time: must be there; read from time or data.event_time"),
        (b"{}", [*TIMED, ("ce_id", b"")], "out_of_range", "event_id: must not be empty, got ''; read from id"),
        (b"{}", [*TIMED, ("ce_id", None)], "missing_field", "event_id: must be there; read from id"),
        (b"{}", [*TIMED, ("ce_id", b"\xff")], "wrong_type", "ce_id: must be UTF-8"),
        (b"{}", [*TIMED, ("ce_type", b"order_paid")], "missing_field", "order_id: must be there for this type"),
        (b'{"user_id":5}', TIMED, "wrong_type", "user_id: must be a string, got 5; read from data.user_id or"),
        (b'{"user_id":null}', TIMED, "", ""),
        (b"x" * 70_000, TIMED, "too_large", "value: must have at most 65536 bytes"),
    ],
)  # fmt: skip
def test_cloudevents__what_is_wrong_has_its_reason(
    value: bytes | None, headers: Any, reason: str, detail: str
) -> None:
    """The same for CloudEvents, where headers may be wrong as well."""
    found = reason_and_detail(value, shipped("cloudevents"), headers)
    assert (found[0], found[1][: len(detail)]) == (reason, detail)


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_format__survives_trouble_anywhere(golden: Golden) -> None:
    """Wherever a message is broken it is scored or set aside with a detail; its neighbours are what they were."""
    values: list[bytes | None] = [golden.value, *mutants(golden), golden.value]
    decoded = decode(values, shipped(golden.format), [golden.headers] * len(values))
    assert decoded.fate[0] == decoded.fate[-1] == 0
    assert decoded.user(0) == decoded.user(len(values) - 1) == b"u-2041"
    assert set(np.flatnonzero(decoded.fate).tolist()) == decoded.details.keys()
    assert set(decoded.fate.tolist()) <= {0, *Reason}


def test_dead_letter__is_the_original() -> None:
    """Value, key, attempt and the headers of a CloudEvent are those that were sent, whatever came of them."""
    headers = [*TIMED, ("other", b"x"), ("Content-Type", b"application/json"), ("ce_source", None)]
    value = b'{"user_id": 5}'
    decoded = decode([b"{}", value], shipped("cloudevents"), [HEADERS, headers])
    letter = DeadLetter(Reason.WRONG_TYPE, "d", "t", 0, 1, decoded.values[1] or b"", decoded.envelope_of(1))
    assert decoded.values[1] != value
    entry = originals.entry_of(letter, 0)
    assert (entry.key, entry.value) == (b"key1", value)
    assert dict(entry.headers)["attempt"] == b"1"
    assert list(entry.headers[-6:]) == [*TIMED, ("Content-Type", b"application/json")]
    assert problems("dead-letter", dead_letter_of(entry)) == []
    whole = replace(letter, envelope=decode([value], shipped("segment")).envelope_of(0))
    assert [name for name, _ in originals.entry_of(whole, 0).headers] == [
        "reason", "detail", "topic", "partition", "offset", "failed_at",
    ]  # fmt: skip


def test_dead_letter__always_fits() -> None:
    """Headers beyond 16 KiB are left out, so that a message can never block those behind it."""
    headers = [*TIMED, ("ce_big", b"x" * 16_384), ("ce_small", b"x")]
    decoded = decode([b"{}"], shipped("cloudevents"), [headers])
    letter = DeadLetter(Reason.TOO_LATE, "d", "t", 0, 1, b"{}", decoded.envelope_of(0))
    assert list(originals.entry_of(letter, 0).headers[6:]) == TIMED


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_format__of_a_batch_that_is_cut(count: int) -> None:
    """Of messages that lie joined, as they were read directly, the first ones are the same alone."""
    values: list[bytes | None] = [json.dumps(ORDER).encode(), b"x" * 70_000, None]
    joined_values = joined(values, EVENT_BYTES_MAX)
    batch = RawBatch(0, 0, joined_values, np.arange(3), np.full(3, STAMP_MS), lambda row: Envelope(None, row))
    stage = Decode(Decoder(POLICY, 300_000), None, {0: converter(shipped("segment"))})
    (decoded,) = stage([batch.head(count)])
    assert isinstance(decoded, EventBatch)
    assert decoded.fate.tolist() == [0, Reason.TOO_LARGE, Reason.NOT_JSON][:count]
    assert [decoded.envelope_of(row).original for row in range(count)] == values[:count]  # type: ignore[attr-defined]


def test_message_hash__is_of_the_bytes() -> None:
    """The same bytes are the same event, others are another one."""
    field_map = shipped("ga4")
    view = at(BODY, "events.0.name", "view_item")
    first, again, other = (converter(field_map).convert(one).value for one in (view, view, view + b" "))
    assert first == again != other


def test_own_map__reads_what_its_file_says(tmp_path: Any) -> None:
    """Units, digits as text, texts that mean others, and quoted and chosen places work in a map of one's own."""
    path = tmp_path / "shop.yaml"
    path.write_text(
        """
        format: shop
        fields:
          event_id: {path: "['no.']", as: text}
          user_id: who[0].id
          type: what
          event_time: {path: at, unit: s}
          order_id: "ids[kind=order].id"
          amount: {path: paid, minus: [fee]}
          category: {path: kind, values: {a: tea}}
        """
    )
    field_map, problems_found = read_field_map(path, str(path))
    assert field_map is not None, problems_found
    message = (
        b'{"no.":12.50,"who":[{"id":"u1"}],"what":"order_paid","at":"1795249000.0019","kind":"a","paid":"10.30",'
        b'"fee":0.1,"ids":[{"kind":"cart","id":"c"},5,{"kind":"order","id":"o"},{"kind":"order","id":"p"}]}'
    )
    assert parse(converter(field_map).convert(message).value or b"") == parse(
        b'{"event_id":"12.50","user_id":"u1","type":"order_paid","event_time":1795249000001,"order_id":"o",'
        b'"amount":10.20,"category":"tea"}'
    )


def test_formats_page__shows_what_comes_out(tmp_path: Any) -> None:
    """The map on the page makes the second message out of the first one, and the page explains every key."""
    path = tmp_path / "shop.yaml"
    path.write_text(example("docs/formats.md", "map"), encoding="utf-8")
    field_map, problems_found = read_field_map(path, str(path))
    assert field_map is not None, problems_found
    found = converter(field_map).convert(example("docs/formats.md", "message").encode())
    assert parse(found.value or b"") == parse(example("docs/formats.md", "native").encode())
    keys = {*schema("format")["properties"], "path", "unit", "minus", "values", MESSAGE_TIME, MESSAGE_HASH}
    assert not {*keys, *FORMATS} - code_spans("docs/formats.md")
