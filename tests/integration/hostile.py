"""Messages that nobody should send. This file writes them, each with the reason it is set aside for."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

DAY_MS = 86_400_000
EVENT_BYTES_MAX = 65_536
ENORMOUS = 10 * 1024 * 1024

ODD_IDS = (
    "{07}", "{07}:rows", "}:user:{", "a:b:c", ":", "{", "}{", "shard:{00}:meta", "audience:buyers:some", "*",
    "[a-z]?", 'say "hi"', "back\\slash", "it's", " ", "a b", "\t", "\r\n", "$3\r\nDEL\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n", "\x00", "nul\x00nul", "\x01\x02\x1f", "\x7f", "null", "0", "-1", "1e5",
    "true", "undefined", "../..", "%s%n", "{0}", "日本語", "🛒", "é", "e\u0301", "\u202eover", "\ufeffbom",
    "\u2028", "\U0010ffff", "x" * 256, "é" * 128,
)  # fmt: skip


class Hostile(NamedTuple):
    """One message with the key it is sent under; `reason` is of its dead letter."""

    key: str
    value: bytes | None
    reason: str


def hostile(number: int, at_ms: int, known_user: str) -> Iterator[Hostile]:
    """
    Write one message of each kind.

    Args:
        number: makes ids unique.
        at_ms: event time of what has one; the stream is there by then.
        known_user: has an event at about at_ms, sent before.
    """
    key = f"hostile{number}"
    good: dict[str, Any] = {"event_id": key, "user_id": key, "type": "buy", "event_time": at_ms}
    good |= {"order_id": f"o-{key}", "amount": 10}
    for reason, values in (
        ("not_json", _no_json(good)),
        ("missing_field", _without(good)),
        ("wrong_type", _wrongly_typed(good)),
        ("out_of_range", _beyond_range(good)),
        ("too_large", _too_large(good, with_enormous=number % 6 == 0)),
    ):
        for value in values:
            yield Hostile(key, value, reason)
    yield Hostile(key, _json(good | {"event_time": at_ms + DAY_MS}), "from_the_future")
    late = {
        "event_id": f"late{number}",
        "user_id": known_user,
        "type": "visit",
        "event_time": at_ms - 9 * DAY_MS,
    }
    yield Hostile(known_user, _json(late), "too_late")
    refund = good | {
        "event_id": f"back{number}",
        "user_id": known_user,
        "type": "refund",
        "order_id": "unheard of",
    }
    yield Hostile(known_user, _json(refund), "unknown_order")


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _raw(good: dict[str, Any], field: str, text: bytes) -> bytes:
    """Put text in the place of a field's value as it stands."""
    return _json(good | {field: "HERE"}).replace(b'"HERE"', text)


def _no_json(good: dict[str, Any]) -> Iterator[bytes | None]:
    text = _json(good)
    yield from (None, b"", b" ", b"\x00", b"hello", b"<html></html>", b"{", text[:-1], text[:40], text + text)
    yield from (b"\xef\xbb\xbf" + text, text.decode().encode("utf-16"), b"\x80\x81\xfe\xff" * 50)
    yield from (b"[" * 60_000, b'{"a":' * 10_000, _raw(good, "note", b"[" * 20_000 + b"]" * 20_000))
    yield from (
        _raw(good, "amount", text) for text in (b"NaN", b"Infinity", b"-Infinity", b"1.", b"0x10", b"'1'")
    )
    yield from (_raw(good, "user_id", text) for text in (b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"'))
    yield from (
        _raw(good, "user_id", text) for text in (b'"\\ud800"', b'"a\\udfffb"', b'"\n"', b'"\x00"', b'"\\x"')
    )


def _without(good: dict[str, Any]) -> Iterator[bytes]:
    yield b"{}"
    for field in good:
        yield _json({name: value for name, value in good.items() if name != field})


def _wrongly_typed(good: dict[str, Any]) -> Iterator[bytes]:
    yield from (b"[]", b"null", b"17", b'"text"', b"true", _json([good]))
    for field, values in {
        "user_id": (5, None, {}, [], True),
        "event_id": (1.5, None),
        "type": (7, None),
        "event_time": ("yesterday", "2026-02-30T00:00:00Z", 1.5, True, [], None),
        "amount": ("a lot", "", "1,5", "NaN", True, {}, None),
        "order_id": (12, None),
        "coupon_id": (3,),
    }.items():
        yield from (_json(good | {field: value}) for value in values)


def _beyond_range(good: dict[str, Any]) -> Iterator[bytes]:
    for field, values in {
        "user_id": ("", "x" * 257, "é" * 129),
        "event_id": ("",),
        "order_id": ("",),
        "event_time": (-5, 10**30, "1969-12-31T23:59:59Z"),
        "amount": (-1, -0.01, 10**30, "9" * 400),
    }.items():
        yield from (_json(good | {field: value}) for value in values)
    yield from (_raw(good, "amount", text) for text in (b"1e300", b"1e999", b"9" * 5_000))
    yield _raw(good, "event_time", b"1" + b"0" * 400)


def _too_large(good: dict[str, Any], with_enormous: bool) -> Iterator[bytes]:
    text = _json(good)
    yield text[:-1] + b" " * (EVENT_BYTES_MAX + 1 - len(text)) + b"}"
    yield b"\x00" * 100_000
    if with_enormous:
        yield _raw(good, "note", b'"' + b"x" * ENORMOUS + b'"')
        yield b"[" * ENORMOUS
