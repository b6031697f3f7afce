"""This file brings CloudEvents into one shape: attributes at the top, the payload under `data`, in both modes."""

from collections.abc import Iterable
from typing import Any

from flows.formats.places import Broken
from scoring.wire import parse

ATTRIBUTE = "ce_"
CONTENT_TYPE = "content-type"
STRUCTURED = b"application/cloudevents"

Headers = Iterable[tuple[str, bytes | None]]


def is_of_event(name: str) -> bool:
    """Tell whether a header is part of a CloudEvent."""
    return name.lower().startswith(ATTRIBUTE) or name.lower() == CONTENT_TYPE


def read_event(value: bytes | None, headers: Headers) -> Any:
    """
    Answer an event as its structured form says it.

    Raises:
        ValueError: what should be JSON is none.
    """
    found = {name.lower(): text for name, text in headers}
    attributes = {name: text for name, text in found.items() if name.startswith(ATTRIBUTE)}
    content_type = found.get(CONTENT_TYPE) or b""
    if not attributes or content_type.lower().startswith(STRUCTURED):
        if not value:
            raise ValueError("no bytes")
        return parse(value)
    event = {name.removeprefix(ATTRIBUTE): _text(name, text) for name, text in attributes.items()}
    return event | ({"data": parse(value)} if value else {})


def _text(name: str, value: bytes | None) -> str | Broken | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return Broken(f"{name}: must be UTF-8")
