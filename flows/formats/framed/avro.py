"""
Avro values as JSON. This file reads them with confluent-kafka's deserializer, and keeps every digit.

Importing it takes the packages of `tierwise[registry]`.
"""

import json
import math
from collections.abc import Iterator
from datetime import datetime
from decimal import Context, Decimal
from io import BytesIO
from typing import Any

import msgspec
from confluent_kafka.schema_registry import Schema, prefix_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from fastavro.read import LOGICAL_READERS

from flows.formats.framed.recursion import is_recursive
from flows.formats.framed.registry import Registry
from flows.formats.framed.unreadable import Unreadable

TIMES = ("long-timestamp-millis", "long-timestamp-micros")

_encoder = msgspec.json.Encoder(decimal_format="number")


class AvroReader:
    """Turn the bytes of Avro messages into those of JSON documents."""

    schema_type = "AVRO"

    def __init__(self, registry: Registry) -> None:
        keep_logical_types_exact()
        self._registry = registry
        self._payload = BytesIO()
        # Without a subject the client asks for the schema by its id alone.
        conf = {"subject.name.strategy": lambda *_: None, "schema.id.deserializer": self._unframed}
        self._deserialize = AvroDeserializer(registry, conf=conf)

    def check(self, schema: Schema) -> None:
        """Refuse a schema by which a small message could exhaust the stack: the reader is C, and has no limit."""
        if is_recursive([json.loads(one.schema_str or "") for one in self._with_references(schema)]):
            raise Unreadable("refers to itself, which is not read")

    def __call__(self, value: bytes) -> bytes:
        """Answer a message as JSON; any exception means that it does not fit its schema."""
        document = self._deserialize(value)
        if self._payload.read(1):
            raise Unreadable("there is more behind its end")
        text = _encoder.encode(document)
        return _encoder.encode(_with_named_floats(document)) if b"null" in text else text

    def _unframed(self, value: bytes, ctx: Any, schema_id: Any) -> BytesIO:
        self._payload = prefix_schema_id_deserializer(value, ctx, schema_id)
        return self._payload

    def _with_references(self, schema: Schema) -> Iterator[Schema]:
        yield schema
        for other in schema.references or ():
            assert other.subject is not None, other
            version = self._registry.get_version(other.subject, other.version, True)
            yield from self._with_references(version.schema)


def keep_logical_types_exact() -> None:
    """
    Have the library read decimals digit by digit, also beyond their precision, and texts as they stand.

    A time that no calendar has stays the number that it is, and is out of range.
    """
    LOGICAL_READERS["bytes-decimal"] = LOGICAL_READERS["fixed-decimal"] = _decimal
    LOGICAL_READERS["string-uuid"] = _as_it_stands
    for name in TIMES:
        LOGICAL_READERS[name] = _Time(LOGICAL_READERS[name])


def _decimal(data: bytes, writer_schema: Any, _reader_schema: Any = None) -> Decimal:
    unscaled = int.from_bytes(data, "big", signed=True)
    return Decimal(unscaled).scaleb(-writer_schema.get("scale", 0), Context(prec=len(data) * 3 + 1))


def _as_it_stands(data: Any, *_schemas: Any) -> Any:
    return data


class _Time:
    """Read a time, or leave the number."""

    def __init__(self, read: Any) -> None:
        self.read: Any = read.read if isinstance(read, _Time) else read

    def __call__(self, data: int, *schemas: Any) -> datetime | int:
        try:
            found: datetime = self.read(data, *schemas)
            return found
        except OverflowError:
            return data


def _with_named_floats(here: Any) -> Any:
    """Write floats that are no numbers as texts: they would be null, which means absent."""
    if isinstance(here, float) and not math.isfinite(here):
        return str(here)
    if isinstance(here, dict):
        return {name: _with_named_floats(found) for name, found in here.items()}
    return [_with_named_floats(found) for found in here] if isinstance(here, list) else here
