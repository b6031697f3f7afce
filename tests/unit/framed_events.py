"""Events as a Schema Registry's serializers write them. This file holds their schemas and what decodes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.field_map import FieldMap
from config.registry_settings import RegistrySettings
from config.settings import Settings
from flows.decode import Decode
from flows.formats.framed.conversion import FramedConverter
from flows.formats.framed.patience import Patience
from flows.formats.framed.reading import Read, open_readers
from flows.items import RawBatch
from scoring.decoder import EVENT_BYTES_MAX, Decoder
from scoring.events import Envelope, EventBatch
from tests.schema_registry import SchemaRegistry
from tests.unit.golden_formats import POLICY, STAMP_MS, TOLERANCE_MS, converter
from tests.unit.settings_files import read

AT_MS = 1_795_248_000_250
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
FIXED_MONEY = {
    "type": "fixed",
    "name": "Money",
    "size": 8,
    "logicalType": "decimal",
    "precision": 12,
    "scale": 2,
}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
UUID = {"type": "string", "logicalType": "uuid"}
QUICK = Patience(wait_s=0.0, pause_s=0.0)


def record(*fields: tuple[str, Any], name: str = "Event") -> dict[str, Any]:
    """Write the schema of a record; a union with null first has the default null."""
    written = []
    for field, kind in fields:
        default = {"default": None} if isinstance(kind, list) and kind[0] == "null" else {}
        written.append({"name": field, "type": kind, **default})
    return {"type": "record", "name": name, "namespace": "shop", "fields": written}


EVENT = record(
    ("event_id", "string"),
    ("user_id", "string"),
    ("type", "string"),
    ("event_time", MILLIS),
    ("order_id", ["null", "string"]),
    ("amount", ["null", MONEY]),
    ("discount_amount", ["null", FIXED_MONEY]),
    ("item_id", ["null", "string"]),
    ("category", ["null", "string"]),
    ("channel", ["null", "string"]),
    ("scene", ["null", "string"]),
    ("coupon_id", ["null", "string"]),
    ("item_launch_at", ["null", MICROS]),
)
EVENT_JSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Event",
    "type": "object",
    "required": ["event_id", "user_id"],
    "properties": {
        "event_id": {"type": "string"},
        "user_id": {"type": "string", "maxLength": 256},
        "amount": {"type": ["number", "string"]},
    },
}


def reader(
    registry: SchemaRegistry, encoding: str, folder: Path, patience: Patience = QUICK, **more: str
) -> Read:
    """Make what reads a topic of this encoding, as a worker does."""
    return open_readers(settings(registry, encoding, folder, **more), patience, ["a"])["a"]


def settings(registry: SchemaRegistry, encoding: str, folder: Path, **more: str) -> Settings:
    """Read settings of one topic of this encoding."""
    environ = {
        f"TIERWISE_REGISTRY__{name.upper()}": text for name, text in {"url": registry.url, **more}.items()
    }
    return read(folder, f"topics: {{input: [a], encodings: {{a: {encoding}}}}}", **environ)


def registry_settings(registry: SchemaRegistry, **more: str) -> RegistrySettings:
    """Say where a registry is."""
    return RegistrySettings({"url": registry.url, **more})


def decode_framed(
    values: Sequence[bytes | None],
    read_framed: Read,
    field_map: FieldMap | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> EventBatch:
    """Decode messages of one encoded topic as a worker does."""
    mapped = converter(field_map) if field_map else None
    batch = RawBatch(
        partition=0,
        topic=0,
        values=list(values),
        offsets=np.arange(len(values)),
        ingest_time_ms=np.full(len(values), STAMP_MS),
        envelope_of=lambda row: Envelope(b"key%d" % row, row),
        headers_of=lambda _row: headers,
    )
    converters = {0: FramedConverter(read_framed, mapped, EVENT_BYTES_MAX)}
    (decoded,) = Decode(Decoder(POLICY, TOLERANCE_MS), None, converters)([batch])
    assert isinstance(decoded, EventBatch)
    return decoded
