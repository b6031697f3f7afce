"""Whose event a message is. This file reads the user id and nothing else, as the worker would read it."""

from collections.abc import Callable

import msgspec

from config.field_map import FieldMap
from flows.formats.batch import Converts
from flows.formats.conversion import Converter
from flows.formats.framed.conversion import FramedConverter
from flows.formats.framed.reading import Read
from scoring.wire import USER_ID_BYTES_MAX, parse
from sinks.dead_letters import Headers

UserOf = Callable[[bytes | None, Headers], bytes | None]


class _Whose(msgspec.Struct):
    user_id: str


_DECODER = msgspec.json.Decoder(_Whose)


def key_reader(field_map: FieldMap | None, event_bytes_max: int, read_framed: Read | None = None) -> UserOf:
    """
    Answer what reads the user id of values and headers in a format; None is the native one.

    Args:
        read_framed: reads them where a Schema Registry's serializers wrote them; what it raises for a registry
            that is away, the answer raises too.
    """
    mapped = Converter(field_map, currency="", event_bytes_max=event_bytes_max) if field_map else None
    converter: Converts | None = mapped
    if read_framed:
        converter = FramedConverter(read_framed, mapped, event_bytes_max)
    if converter is None:
        return lambda value, _: user_key(value)
    return lambda value, headers: user_key(converter.convert(value, headers).value)


def user_key(value: bytes | None) -> bytes | None:
    """
    Answer the user id of a message as UTF-8; None where it has none that a user can have.

    Every message that the worker can score has one, and it is the same one.
    """
    if not value:
        return None
    try:
        user_id: object = _DECODER.decode(value).user_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        user_id = _by_the_checked_path(value)
    key = user_id.encode() if isinstance(user_id, str) else b""
    return key if 1 <= len(key) <= USER_ID_BYTES_MAX else None


def _by_the_checked_path(value: bytes) -> object:
    """Read what only the worker's own parser reads: a key that stands twice, an integer without end."""
    try:
        document = parse(value)
    except ValueError:
        return None
    return document.get("user_id") if isinstance(document, dict) else None
