"""Tests of messages that a Schema Registry's serializers wrote: what each becomes, and what is set aside."""

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID as Uuid

import pytest

from flows.formats.framed.reading import Read
from flows.formats.framed.recursion import is_recursive
from flows.formats.framed.unreadable import Unreadable
from scoring.events import DECODED, Reason
from scoring.wire import parse
from tests.schema_registry import SchemaRegistry, avro_writer, json_writer, running
from tests.unit.framed_events import (
    AT_MS,
    EVENT,
    EVENT_JSON,
    FIXED_MONEY,
    MICROS,
    MILLIS,
    MONEY,
    UUID,
    decode_framed,
    reader,
    record,
)
from tests.unit.golden_formats import decode, goldens, shipped

ORDER = {
    "event_id": "e1",
    "user_id": "u1",
    "type": "order_paid",
    "event_time": AT_MS,
    "order_id": "o1",
    "amount": Decimal("271.05"),
    "discount_amount": None,
    "category": "shoes",
    "item_launch_at": datetime(2026, 11, 1, tzinfo=UTC),
}
TIME = datetime.fromtimestamp(AT_MS // 1000, UTC).replace(microsecond=250_999)


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistry]:
    """Run a registry."""
    with running() as found:
        yield found


@pytest.fixture
def avro(registry: SchemaRegistry, tmp_path: Path) -> Read:
    """Make what reads an Avro topic."""
    return reader(registry, "avro", tmp_path)


@pytest.fixture
def json_schema(registry: SchemaRegistry, tmp_path: Path) -> Read:
    """Make what reads a JSON Schema topic."""
    return reader(registry, "json_schema", tmp_path)


def framed(schema_id: int, payload: bytes) -> bytes:
    """Put a frame before a payload, by hand."""
    return struct.pack(">bI", 0, schema_id) + payload


def native(event: dict[str, Any]) -> bytes:
    """Write an event in the native form."""
    spelled = {
        name: str(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in event.items()
    }
    return json.dumps(spelled).encode()


def test_avro__is_the_native_event_that_it_says(registry: SchemaRegistry, avro: Read) -> None:
    """Each column is that of the same event in JSON; a null is as if the field were absent."""
    view = {"event_id": "e2", "user_id": "u2", "type": "page_view", "event_time": AT_MS, "channel": "app"}
    write = avro_writer(registry, EVENT)
    found = decode_framed([write(ORDER), write(view)], avro)
    same = decode([native(ORDER), native(view)])
    assert found.fate.tolist() == same.fate.tolist() == [DECODED, DECODED]
    for column in (
        "type",
        "event_time_ms",
        "event_id_hash",
        "order_id_hash",
        "amount_minor",
        "match",
        "user_hash",
    ):
        assert getattr(found, column).tolist() == getattr(same, column).tolist(), column
    assert [found.user(row) for row in (0, 1)] == [same.user(row) for row in (0, 1)]
    assert found.amount_minor.tolist() == [27_105, 0]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (MONEY, Decimal("1234567890.12"), b"1234567890.12"),
        (MONEY, Decimal("-0.01"), b"-0.01"),
        (FIXED_MONEY, Decimal("19.90"), b"19.90"),
        ({**MONEY, "precision": 60, "scale": 40}, Decimal("1." + "7" * 40), b"1." + b"7" * 40),
        (MILLIS, TIME, b'"2026-11-21T08:00:00.250000Z"'),
        (MICROS, TIME, b'"2026-11-21T08:00:00.250999Z"'),
        (MICROS, 2**62, str(2**62).encode()),
        (UUID, Uuid(int=7), b'"00000000-0000-0000-0000-000000000007"'),
        ("double", 0.1, b"0.1"),
        ("double", float("nan"), b'"nan"'),
        ("bytes", b"ab", b'"YWI="'),
        (["null", "string"], None, b"null"),
        ({"type": "map", "values": ["null", "float"]}, {"a": float("-inf"), "b": None}, b'{"a":"-inf","b":null}'),
        ({"type": "array", "items": {"type": "enum", "name": "E", "symbols": ["A"]}}, ["A"], b'["A"]'),
    ],
)  # fmt: skip
def test_avro__keeps_every_digit(
    registry: SchemaRegistry, avro: Read, kind: Any, value: Any, text: bytes
) -> None:
    """Each type is the JSON that means the same; what JSON cannot say is a text, never nothing."""
    assert avro(avro_writer(registry, record(("v", kind)))({"v": value})) == b'{"v":' + text + b"}"


def test_avro__reads_more_digits_than_the_schema_promises(registry: SchemaRegistry, avro: Read) -> None:
    """Where a sender goes beyond its precision, nothing is rounded."""
    schema_id = registry.register("x", json.dumps(record(("v", {**MONEY, "precision": 4}))))
    assert avro(framed(schema_id, b"\x08" + (123_456_789).to_bytes(4, "big"))) == b'{"v":1234567.89}'


def test_avro__leaves_a_uuid_as_it_was_written(registry: SchemaRegistry, avro: Read) -> None:
    """Capital letters stay: they may be another user's elsewhere."""
    schema_id = registry.register("x", json.dumps(record(("v", UUID))))
    text = b"8D3F2AC2-98C0-4A1E-A8A3-2F8A44D3D3B5"
    assert avro(framed(schema_id, bytes([2 * len(text)]) + text)) == b'{"v":"' + text + b'"}'


def test_avro__follows_references(registry: SchemaRegistry, avro: Read) -> None:
    """A schema may take types from others."""
    registry.register("money-value", json.dumps({**FIXED_MONEY, "namespace": "shop"}))
    write = avro_writer(registry, record(("v", "shop.Money")), references=[("shop.Money", "money-value", 1)])
    assert avro(write({"v": Decimal("1.50")})) == b'{"v":1.50}'


@pytest.mark.parametrize("golden", [one for one in goldens() if one.format == "segment"], ids=str)
def test_json_schema__goes_through_a_field_map(
    registry: SchemaRegistry, json_schema: Read, golden: Any
) -> None:
    """What a format's map makes of plain JSON, it makes of the same message with a schema."""
    schema_id = registry.register("segment-value", '{"type": "object"}', "JSON")
    found = decode_framed([framed(schema_id, golden.value)], json_schema, shipped("segment"))
    same = decode([golden.value], shipped("segment"))
    assert found.fate.tolist() == same.fate.tolist()
    assert (found.details, found.user(0)) == (same.details, same.user(0))
    assert found.amount_minor.tolist() == same.amount_minor.tolist()


def test_avro__goes_through_a_field_map(registry: SchemaRegistry, avro: Read) -> None:
    """A Segment call in Avro is read where the map says, money and time exactly."""
    money = record(("total", MONEY), ("currency", "string"), ("order_id", "string"), name="Properties")
    call = record(
        ("messageId", "string"), ("userId", ["null", "string"]), ("event", "string"), ("timestamp", MICROS),
        ("properties", money),
    )  # fmt: skip
    paid = {"total": Decimal("19.99"), "currency": "CNY", "order_id": "o1"}
    event = {
        "messageId": "m1",
        "userId": "u1",
        "event": "Order Completed",
        "timestamp": TIME,
        "properties": paid,
    }
    write = avro_writer(registry, call)
    found = decode_framed([write(event), write({**event, "userId": None})], avro, shipped("segment"))
    assert found.fate.tolist() == [DECODED, Reason.MISSING_FIELD]
    assert found.details[1] == "user_id: must be there; read from userId"
    assert (found.amount_minor[0], found.event_time_ms[0]) == (1999, AT_MS)


def test_avro__is_the_payload_of_a_binary_cloud_event(registry: SchemaRegistry, avro: Read) -> None:
    """Attributes come from the headers, the payload from the schema; a dead letter keeps both as they were."""
    write = avro_writer(registry, record(("order_id", "string"), ("amount", MONEY), name="Data"))
    value = write({"order_id": "o1", "amount": Decimal("5.50")})
    attributes = {
        "specversion": "1.0",
        "id": "e1",
        "type": "order_paid",
        "subject": "u1",
        "time": "2026-11-21T08:00:00Z",
    }
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    headers.append(("content-type", b"application/avro"))
    found = decode_framed([value, value[:-1]], avro, shipped("cloudevents"), headers)
    assert (found.fate.tolist(), found.amount_minor[0]) == ([DECODED, Reason.NOT_JSON], 550)
    assert (found.user(0), found.user(1)) == (b"u1", b"")
    letter = found.envelope_of(1)
    assert (letter.original, list(letter.headers)) == (value[:-1], headers)  # type: ignore[attr-defined]


def test_message_hash__is_of_the_bytes_that_were_sent(registry: SchemaRegistry, json_schema: Read) -> None:
    """The same event under another schema id is another message, as it is in other bytes."""
    text = json.dumps({"event_name": "search", "event_timestamp": AT_MS * 1000, "user_id": "u"}).encode()
    ids = [
        registry.register("ga4", schema, "JSON") for schema in ('{"type": "object"}', '{"title": "another"}')
    ]
    found = decode_framed([framed(one, text) for one in (*ids, ids[0])], json_schema, shipped("ga4"))
    first, second, again = found.event_id_hash.tolist()
    assert first == again != second


def test_json_schema__answers_what_was_written(registry: SchemaRegistry, json_schema: Read) -> None:
    """Numbers keep their digits, whatever the library made of them while it compared."""
    write = json_writer(registry, EVENT_JSON)
    schema_id = struct.unpack(">I", write({"event_id": "e", "user_id": "u"})[1:5])[0]
    text = b'{"event_id": "e1", "user_id": "u1", "amount": 0.1000000000000000055511151231257827}'
    assert json_schema(framed(schema_id, text)) == text


def broken_frames() -> list[tuple[bytes, str]]:
    """List messages whose frame or schema is no good, with what is said of each."""
    return [
        (b'{"event_id": "e1"}', "must begin with a zero and four bytes that name a schema, as a Schema Registry's "
         "serializers write, got 7b 22 65 76 65"),
        (b"\0\0\0\1", "must begin with a zero and four bytes that name a schema, as a Schema Registry's serializers "
         "write, got 00 00 00 01"),
        (framed(2**32 - 1, b"{}"), "must name a schema up to 2147483647, got 4294967295"),
        (framed(9_999, b"{}"), "schema 9999 is unknown to the Schema Registry"),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["avro", "json_schema"])
@pytest.mark.parametrize(("value", "detail"), broken_frames())
def test_frame__that_leads_nowhere_is_set_aside(
    registry: SchemaRegistry, tmp_path: Path, encoding: str, value: bytes, detail: str
) -> None:
    """Plain JSON, half a frame and an unknown schema are `not_json`, and the letter has the bytes that came."""
    found = decode_framed([value], reader(registry, encoding, tmp_path))
    assert (found.fate[0], found.details[0]) == (Reason.NOT_JSON, f"value: {detail}")
    assert found.envelope_of(0).original == value  # type: ignore[attr-defined]


def test_avro__that_does_not_fit_is_set_aside(registry: SchemaRegistry, avro: Read) -> None:
    """A value cut short, one with a tail, a broken schema and one of another kind are said to be that."""
    good = avro_writer(registry, EVENT)(ORDER)
    schema_id = struct.unpack(">I", good[1:5])[0]
    other = registry.register("o", '{"type": "object"}', "JSON")
    no_schema = registry.register("n", '{"type": "record"}')
    values = [good[:-3], good + b"x", framed(other, b"{}"), framed(no_schema, b"x"), good]
    found = decode_framed(values, avro)
    assert found.fate.tolist() == [Reason.NOT_JSON] * 4 + [DECODED]
    assert found.details[0].startswith(f"value: must fit schema {schema_id}: ")
    assert found.details[1] == "value: there is more behind its end"
    assert found.details[2] == f"value: schema {other} must be AVRO, as topics.encodings says avro, got JSON"
    assert found.details[3].startswith(f"value: must fit schema {no_schema}: SchemaParse")


def test_avro__that_holds_its_own_kind_is_not_read(registry: SchemaRegistry, avro: Read) -> None:
    """A message of a few kilobytes that would exhaust the reader's stack is set aside before it is read."""
    chain = record(("next", ["null", "shop.Event"]))
    schema_id = registry.register("c", json.dumps(chain))
    with pytest.raises(Unreadable, match="refers to itself"):
        avro(framed(schema_id, b"\2" * 60_000 + b"\0"))


def test_json_schema__that_does_not_fit_is_set_aside(registry: SchemaRegistry, json_schema: Read) -> None:
    """What breaks its schema, no JSON, and nesting without end are `not_json`; the next message is read."""
    write = json_writer(registry, EVENT_JSON)
    good = write({"event_id": "e", "user_id": "u", "type": "search", "event_time": AT_MS})
    frame = good[:5]
    schema_id = struct.unpack(">I", frame[1:])[0]
    values = [
        frame + b'{"event_id": 5, "user_id": "u"}',
        frame + b"{",
        frame + b"[" * 60_000,
        frame + b"NaN",
        good,
    ]
    found = decode_framed(values, json_schema)
    assert found.fate.tolist() == [Reason.NOT_JSON] * 4 + [DECODED]
    assert (
        found.details[0]
        == f"value: must fit schema {schema_id}: SerializationError: 5 is not of type 'string'"
    )


def test_large_and_empty__are_what_they_are_elsewhere(registry: SchemaRegistry, avro: Read) -> None:
    """The order of the reasons stays: size comes first, and a message without a value is no JSON."""
    found = decode_framed([b"\0" * 70_000, None, b""], avro)
    assert found.fate.tolist() == [Reason.TOO_LARGE, Reason.NOT_JSON, Reason.NOT_JSON]
    assert found.details[1] == "value: must be JSON, got null"


@pytest.mark.parametrize(
    ("documents", "recursive"),
    [
        ([record(("a", "string"), ("b", ["null", MONEY]))], False),
        (
            [
                record(
                    ("a", record(("x", "int"), name="A")),
                    ("b", "A"),
                    ("c", {"type": "map", "values": "shop.A"}),
                )
            ],
            False,
        ),
        ([record(("a", {"type": "array", "items": "Event"}))], True),
        ([record(("a", record(("b", {"type": "map", "values": ["null", "shop.Event"]}), name="B")))], True),
        ([record(("a", {**record(("x", "int")), "namespace": "old"}))], False),
        ([record(("a", "shop.Other")), record(("b", "Event"), name="Other")], True),
        (["string"], False),
        ([["null", record(("a", "int"))]], False),
    ],
)
def test_recursion__is_found_wherever_it_hides(documents: list[Any], recursive: bool) -> None:
    """In lists, maps, unions and other documents; the same short name elsewhere is another type."""
    assert is_recursive(documents) == recursive


def test_parse__agrees_with_what_is_handed_on(registry: SchemaRegistry, avro: Read) -> None:
    """The native reader takes what Avro becomes: decimals are exact numbers there."""
    assert parse(avro(avro_writer(registry, EVENT)(ORDER)))["amount"] == Decimal("271.05")
