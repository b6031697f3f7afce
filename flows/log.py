"""One structured line per thing worth knowing. This file writes logfmt to standard error."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

PLAIN_MARKS = frozenset("-_.:/@+,%[]*")


def log(level: str, event: str, **fields: Any) -> None:
    """
    Write one line: level, event (`noun.past_tense`, fixed text), time, then the fields in the given order.

    Values are fields, never part of the event name; nothing is logged per event of the stream.
    """
    _write(level, event, " ".join(f"{name}={_spell(v)}" for name, v in fields.items() if v is not None))


class LogfmtHandler(logging.Handler):
    """Write what libraries log (librdkafka above all), and the sinks, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a message that names its event is taken as it is."""
        message = record.getMessage()
        if message.startswith("CONFWARN"):
            return  # Consumers and producers share their settings; each warns of what only the other knows.
        level = {"warning": "warn", "critical": "error"}.get(
            record.levelname.lower(), record.levelname.lower()
        )
        if message.startswith("event="):
            event, _, fields = message.removeprefix("event=").partition(" ")
            _write(level, event, fields)
        else:
            log(level, "library.logged", logger=record.name, message=message)


def take_over_logging() -> None:
    """Send the log records of this process through the one form, warnings and worse."""
    logging.basicConfig(level=logging.WARNING, handlers=[LogfmtHandler()], force=True)


def _write(level: str, event: str, fields: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(f"level={level} event={event} time={now} {fields}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple | set | frozenset):
        value = ",".join(str(part) for part in value)
    text = str(value)
    if text and all(mark.isalnum() or mark in PLAIN_MARKS for mark in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
