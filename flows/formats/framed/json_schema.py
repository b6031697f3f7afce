"""
JSON messages that have a schema. This file holds them to it with confluent-kafka's deserializer.

Importing it takes the packages of `tierwise[registry]`.
"""

import json
from typing import Any

from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.json_schema import JSONDeserializer

from flows.formats.framed.registry import Registry


class JsonSchemaReader:
    """Answer the JSON of messages as it was written, once it has been found to fit its schema."""

    schema_type = "JSON"

    def __init__(self, registry: Registry) -> None:
        self._payload = b""
        conf = {"subject.name.strategy": lambda *_: None}
        self._deserialize = JSONDeserializer(
            None, schema_registry_client=registry, conf=conf, json_decode=self._decode
        )

    def check(self, schema: Schema) -> None:
        """Take any schema: those that refer to themselves are read in Python, which knows where to end."""

    def __call__(self, value: bytes) -> bytes:
        """Answer a message as JSON; any exception means that it does not fit its schema."""
        self._deserialize(value)
        return self._payload

    def _decode(self, payload: bytes) -> Any:
        self._payload = payload
        return json.loads(payload)
