"""This file opens what reads the framed messages of each topic; only where there is such a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from config.settings import Settings
from flows.formats.framed.patience import Patience
from flows.formats.framed.unreadable import RegistryUnavailable, RegistryUnusable, Unreadable
from scoring.wire import SHOWN_MAX

if TYPE_CHECKING:
    from flows.formats.framed.avro import AvroReader
    from flows.formats.framed.json_schema import JsonSchemaReader
    from flows.formats.framed.registry import Registry

FRAME_BYTES = 5
MAGIC = 0
SCHEMA_ID_MAX = 2**31 - 1

Read = Callable[[bytes], bytes]
"""Answers a framed message as JSON, or raises Unreadable or RegistryUnavailable."""


class FramedReader:
    """
    Read the messages of one topic.

    What is wrong with a message is said as `Unreadable`, whatever the libraries made of it: of code that
    reads bytes from outside, every error has to be expected.
    """

    def __init__(self, registry: Registry, read: AvroReader | JsonSchemaReader, encoding: str) -> None:
        self._registry = registry
        self._read = read
        self._encoding = encoding
        self._checked: set[int] = set()

    def __call__(self, value: bytes) -> bytes:
        """Answer a message as JSON."""
        schema_id = schema_id_of(value)
        try:
            if schema_id not in self._checked:
                self._check(schema_id)
            return self._read(value)
        except (Unreadable, RegistryUnavailable):
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:SHOWN_MAX]
            why = f"{type(error).__name__}: {said}" if said else type(error).__name__
            raise Unreadable(f"must fit schema {schema_id}: {why}") from error

    def _check(self, schema_id: int) -> None:
        schema = self._registry.get_schema(schema_id)
        if schema.schema_type != self._read.schema_type:
            kind = f"{self._read.schema_type}, as topics.encodings says {self._encoding}"
            raise Unreadable(f"schema {schema_id} must be {kind}, got {schema.schema_type}")
        self._read.check(schema)
        self._checked.add(schema_id)


def schema_id_of(value: bytes) -> int:
    """Read which schema a message names; raises Unreadable where it names none."""
    if len(value) < FRAME_BYTES or value[0] != MAGIC:
        rule = "must begin with a zero and four bytes that name a schema, as a Schema Registry's serializers write"
        raise Unreadable(f"{rule}, got {value[:FRAME_BYTES].hex(' ') or 'no bytes'}")
    schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
    if schema_id > SCHEMA_ID_MAX:
        raise Unreadable(f"must name a schema up to {SCHEMA_ID_MAX}, got {schema_id}")
    return schema_id


def open_readers(settings: Settings, patience: Patience, topics: Iterable[str]) -> Mapping[str, Read]:
    """
    Make what reads those of the topics that are encoded. Nobody is contacted.

    Raises:
        RegistryUnusable: packages are missing, or the client refuses its settings.
    """
    encodings = {topic: found for topic, found in settings.topics.encodings.items() if topic in topics}
    if not encodings:
        return {}
    try:
        from flows.formats.framed.avro import AvroReader
        from flows.formats.framed.json_schema import JsonSchemaReader
        from flows.formats.framed.registry import Registry
    except ImportError as error:
        remedy = "pip install 'tierwise[registry]'"
        raise RegistryUnusable(
            f"topics.encodings needs packages that are not installed: {remedy} ({error})"
        ) from error
    registry = Registry(settings.registry, patience)
    readers: dict[str, AvroReader | JsonSchemaReader] = {
        "avro": AvroReader(registry),
        "json_schema": JsonSchemaReader(registry),
    }
    return {topic: FramedReader(registry, readers[found], found) for topic, found in encodings.items()}
