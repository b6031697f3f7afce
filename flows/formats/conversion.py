"""This file converts one message by a field map: bytes and headers of another format to a native event's JSON."""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from config.field_map import FieldMap, Fields, Source
from config.field_paths import MESSAGE_HASH, MESSAGE_TIME
from flows.formats.cloud_events import Headers, read_event
from flows.formats.places import Broken, find
from flows.formats.values import as_text, milliseconds, reduced
from scoring.wire import MONEY_FIELDS, parse, shown

HASH_BYTES = 16
NOTHING: Mapping[str, str] = MappingProxyType({})

_encoder = msgspec.json.Encoder(decimal_format="number")


class Conversion(NamedTuple):
    """
    Hold a message as the decoder takes it.

    Reasons are the decoder's alone. What no map can read stays as it was; a field that cannot be read gets a
    value of the same reason, and a note by the field's name says what is wrong.
    """

    value: bytes | None
    notes: Mapping[str, str] = NOTHING


class Converter:
    """
    Convert messages of one format.

    Args:
        currency: the policy's; money in another one is out of range.
        event_bytes_max: larger messages are left to the decoder.
    """

    def __init__(self, field_map: FieldMap, currency: str, event_bytes_max: int) -> None:
        self._map = field_map
        self._currency = currency
        self._event_bytes_max = event_bytes_max
        self._fields = {name: sources for name, sources in field_map.fields.items() if name != "type"}
        self._fields_of = {
            name: {**self._fields, **rule.fields} for name, rule in (field_map.events or {}).items()
        }

    @property
    def reads_headers(self) -> bool:
        """Tell whether headers have to be given."""
        return self._map.reads_headers

    def convert(
        self,
        value: bytes | None,
        headers: Headers = (),
        time_ms: int | None = None,
        original: bytes | None = None,
    ) -> Conversion:
        """
        Convert one message.

        Args:
            time_ms: Kafka's time of it, None where it has none.
            original: what was sent, where the value was made of it.
        """
        if value is not None and len(value) > self._event_bytes_max:
            return Conversion(value)
        try:
            document = self._read(value, headers)
        except ValueError:
            return Conversion(value)
        if not isinstance(document, dict):
            return Conversion(value)
        for text, steps in self._map.exactly_one:
            members = find(document, steps)
            if members is not None and not (isinstance(members, list) and len(members) == 1):
                return Conversion(b"[]", {"value": _not_one(text, members)})
        native, notes = self._native(document, original or value or b"", time_ms)
        return Conversion(_encoder.encode(native), notes)

    def places_of(self, name: str) -> str:
        """Say for people where a native field is read."""
        sources = {source.text: None for source in self._map.fields.get(name, ())}
        for rule in (self._map.events or {}).values():
            sources |= {source.text: None for source in rule.fields.get(name, ())}
        return " or ".join(sources)

    def _read(self, value: bytes | None, headers: Headers) -> Any:
        if self._map.reads_headers:
            return read_event(value, headers)
        return parse(value) if value else None

    def _native(
        self, document: dict[str, Any], value: bytes, time_ms: int | None
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        name = self._first(self._map.fields["type"], document, value, time_ms)
        found = {"type": self._type(name)}
        for field, sources in self._fields_by(name).items():
            found[field] = self._first(sources, document, value, time_ms)
        notes = {field: one.rule for field, one in found.items() if isinstance(one, Broken)}
        native = {field: _plain(one) for field, one in found.items() if one is not None}
        self._check_currency(document, native, notes)
        return native, notes

    def _fields_by(self, name: Any) -> Fields:
        return self._fields_of.get(name, self._fields) if isinstance(name, str) else self._fields

    def _type(self, name: Any) -> Any:
        """Give an event its native type; no policy can name that of an event that is not listed."""
        if self._map.events is None or not isinstance(name, str):
            return name
        rule = self._map.events.get(name)
        return rule.type if rule else f"{self._map.name}:{name}"

    def _first(self, sources: Sequence[Source], document: Any, value: bytes, time_ms: int | None) -> Any:
        for source in sources:
            found = self._at(source, document, value, time_ms)
            if found is not None:
                return found
        return None

    def _at(self, source: Source, document: Any, value: bytes, time_ms: int | None) -> Any:
        if source.text == MESSAGE_TIME:
            return time_ms
        if source.text == MESSAGE_HASH:
            return hashlib.blake2b(value, digest_size=HASH_BYTES).hexdigest()
        found = self._present(find(document, source.steps))
        if found is None or isinstance(found, Broken):
            return found
        if source.minus:
            found = reduced(
                found, [(text, self._present(find(document, steps))) for text, steps in source.minus]
            )
        if source.unit:
            found = milliseconds(found, source.unit)
        if source.as_text:
            found = as_text(found)
        return source.values.get(found, found) if isinstance(found, str) else found

    def _present(self, found: Any) -> Any:
        return None if isinstance(found, str) and found in self._map.absent else found

    def _check_currency(self, document: Any, native: dict[str, Any], notes: dict[str, str]) -> None:
        """Put money in another currency out of range."""
        has_money = [name for name in MONEY_FIELDS if name in native and name not in notes]
        if not has_money:
            return
        found = self._first(self._map.currency, document, b"", None)
        if found is None or (isinstance(found, str) and found.upper() == self._currency):
            return
        got = found.rule if isinstance(found, Broken) else f"got {shown(found)}"
        for name in has_money:
            native[name] = -1 if isinstance(found, str) else []
            notes[name] = f"currency: must be {self._currency}, as the policy says, {got}"


def _plain(found: Any) -> Any:
    """Keep the kind of what is no single value, for the decoder to refuse; its content does not matter."""
    if isinstance(found, dict):
        return {}
    return [] if isinstance(found, list | Broken) else found


def _not_one(text: str, members: Any) -> str:
    got = f"{len(members)}" if isinstance(members, list) else "none"
    return f"{text}: must be an array with exactly one member, got {got}"
