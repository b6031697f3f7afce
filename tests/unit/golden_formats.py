"""Messages of other formats beside the native events they are. This file reads them, and decodes both."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.field_map import SHIPPED, FieldMap, read_field_map
from config.policy_file import load_policy
from flows.decode import Decode
from flows.formats.conversion import Converter
from flows.items import RawBatch
from scoring.decoder import EVENT_BYTES_MAX, Decoder
from scoring.events import Envelope, EventBatch

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
FORMATS = ("cloudevents", "ga4", "segment")
POLICY = load_policy(ROOT / "config" / "policies" / "ecommerce.yaml")
TOLERANCE_MS = 300_000
STAMP_MS = 1_795_249_000_000
"""Kafka's time of every golden message; what lies ahead of it is within the tolerance."""

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Golden:
    """One message, and the event that it is."""

    format: str
    name: str
    value: bytes | None
    headers: Headers
    native: bytes

    def __str__(self) -> str:
        return f"{self.format}-{self.name}"


def goldens() -> list[Golden]:
    """Read every pair; an empty file is a message without a value."""
    found = []
    for path in sorted(GOLDEN.glob("*/*.native.json")):
        name = path.name.removesuffix(".native.json")
        headers = path.with_name(f"{name}.headers.json")
        said = json.loads(headers.read_text(encoding="utf-8")) if headers.exists() else {}
        found.append(
            Golden(
                format=path.parent.name,
                name=name,
                value=path.with_name(f"{name}.json").read_bytes() or None,
                headers=[(key, text.encode()) for key, text in said.items()],
                native=path.read_bytes(),
            )
        )
    return found


def at(document: dict[str, Any], path: str, value: Any) -> bytes:
    """Write a message with one place changed; ... removes it."""
    changed = deepcopy(document)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    here: Any = changed
    for step in way:
        here = here[step]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return json.dumps(changed).encode()


def mutants(golden: Golden) -> Iterator[bytes]:
    """Put trouble into every place of a message, one at a time."""
    document = json.loads(golden.value or b"{}")
    for path in list(_paths(document)):
        for trouble in (None, True, -1, 10**30, 0.1, "", "x", [], [None], {}, {"a": {"b": None}}, ...):
            yield at(document, path, trouble)


def _paths(here: Any, above: str = "") -> Iterator[str]:
    items = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
    for key, value in items:
        yield f"{above}{key}"
        yield from _paths(value, f"{above}{key}.")


def shipped(name: str) -> FieldMap:
    """Read a field map that ships."""
    found, problems = read_field_map(SHIPPED / f"{name}.yaml", name)
    assert found is not None, problems
    return found


def converter(field_map: FieldMap) -> Converter:
    """Make a converter as a worker does."""
    return Converter(field_map, POLICY.currency, EVENT_BYTES_MAX)


def decode(
    values: Sequence[bytes | None], field_map: FieldMap | None = None, headers: Sequence[Headers] = ()
) -> EventBatch:
    """Decode messages of one topic as a worker does, of a format or native."""
    formats = {} if field_map is None else {0: converter(field_map)}
    batch = RawBatch(
        partition=0,
        topic=0,
        values=list(values),
        offsets=np.arange(len(values)),
        ingest_time_ms=np.full(len(values), STAMP_MS),
        envelope_of=lambda row: Envelope(b"key%d" % row, row),
        headers_of=(lambda row: headers[row]) if headers else (lambda _row: ()),
    )
    (decoded,) = Decode(Decoder(POLICY, TOLERANCE_MS), None, formats)([batch])
    assert isinstance(decoded, EventBatch)
    return decoded
