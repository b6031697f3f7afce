"""Whose event a message is. This file reads the user id and nothing else, as the worker would read it."""

import msgspec

from scoring.wire import USER_ID_BYTES_MAX, parse


class _Whose(msgspec.Struct):
    user_id: str


_DECODER = msgspec.json.Decoder(_Whose)


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
