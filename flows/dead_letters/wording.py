"""This file words dead letters for people and for programs; what stands in them cannot move a terminal."""

import base64
import json
from collections import Counter
from typing import Any

from flows.dead_letters.letter import Letter
from sinks.keyspace import time_text

PREVIEW_MAX = 100
DETAIL_MAX = 120


def safe(text: str | bytes, keep: str = "") -> str:
    """Escape what is not UTF-8 and what a terminal would not show as it is, but for the signs to keep."""
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    return "".join(sign if sign.isprintable() or sign in keep else _escaped(sign) for sign in text)


def line(letter: Letter) -> str:
    """Say one dead letter in a line."""
    return "  ".join(
        (
            str(letter.place),
            time_text(letter.failed_at_ms),
            safe(letter.reason),
            safe(str(letter.source or "-")),
            f"attempt {letter.attempt}",
            _cut(safe(letter.text("detail") or "-"), DETAIL_MAX),
            _preview(letter),
        )
    )


def document(letter: Letter) -> dict[str, Any]:
    """Say everything of a dead letter as plain values; what does not apply is absent."""
    source = letter.source
    found: dict[str, Any] = {
        "place": str(letter.place),
        "failed_at": time_text(letter.failed_at_ms),
        "reason": letter.reason,
        "detail": letter.text("detail"),
        "topic": source and source.topic,
        "partition": source and source.partition,
        "offset": source and source.offset,
        "attempt": letter.attempt,
        "original_size": letter.original_size,
        "headers": {
            name: (text or b"").decode(errors="backslashreplace") for name, text in letter.event_headers
        }
        or None,
        **_spelled("key", letter.key),
        **_spelled("value", letter.value),
    }
    return {name: value for name, value in found.items() if value is not None}


def json_line(found: dict[str, Any]) -> str:
    """Write a document in one line of printable ASCII."""
    return json.dumps(found, separators=(",", ":"))


def count_line(counts: Counter[str], limit: int | None = None) -> str:
    """Say how many there are, of each reason, and whether fewer are shown."""
    total = counts.total()
    if not total:
        return "no dead letters"
    reasons = ", ".join(f"{safe(reason)} {count}" for reason, count in counts.most_common())
    newest = "" if limit is None or limit >= total else f", the newest {limit} shown"
    return f"{number_of(total)}{newest}: {reasons}"


def number_of(count: int) -> str:
    """Say a number of dead letters."""
    return f"{count} dead letter" if count == 1 else f"{count} dead letters"


def pages(letter: Letter) -> list[str]:
    """Say headers and value in full; bytes that are not UTF-8, and control characters, are escaped."""
    value = safe(letter.value, keep="\n\t")
    size = f"{len(letter.value)} bytes"
    if letter.original_size is not None:
        size += f", cut from {letter.original_size}"
    if value.encode() != letter.value:
        size += "; some are escaped, --raw writes them unchanged"
    key = [] if letter.key is None else [("key", letter.key)]
    told = [f"{safe(name)}: {safe(text or b'')}" for name, text in (*key, *letter.headers)]
    return [f"place: {letter.place}", *told, f"value: {size}", "", value]


def _preview(letter: Letter) -> str:
    # No sign takes more than four bytes, so what is cut off is not needed.
    shown = _cut(safe(letter.value[: 4 * PREVIEW_MAX]), PREVIEW_MAX)
    size = len(letter.value) if letter.original_size is None else letter.original_size
    return f"{shown or '(empty)'} ({size} bytes)"


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def _spelled(name: str, data: bytes | None) -> dict[str, str]:
    """Spell bytes as text, or in base64 where they are not UTF-8."""
    if data is None:
        return {}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
