"""What the commands `tierwise dead-letters ...` take. This file declares it and reads it."""

import argparse
from datetime import datetime

from config.durations import parse_duration
from flows.clock import SystemClock
from flows.dead_letters.letter import Place
from scoring.events import Reason


def add_list(command: argparse.ArgumentParser) -> None:
    """Declare what `list` takes."""
    _add_filters(command)
    command.add_argument("--limit", type=_count, metavar="N", help="only the newest N; all are counted")
    command.add_argument("--json", action="store_true", help="one JSON document a line, values in full")


def add_show(command: argparse.ArgumentParser) -> None:
    """Declare what `show` takes."""
    command.add_argument("place", type=_place, metavar="PARTITION:OFFSET", help="as `list` says it")
    command.add_argument("--raw", action="store_true", help="write the bytes of the value, and nothing else")


def add_replay(command: argparse.ArgumentParser) -> None:
    """Declare what `replay` takes."""
    command.add_argument(
        "places", type=_place, nargs="*", metavar="PARTITION:OFFSET", help="these, as `list` says them"
    )
    command.add_argument("--all", action="store_true", help="all that are on the topic")
    _add_filters(command)
    command.add_argument("--dry-run", action="store_true", help="say what would be sent, send nothing")


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--reason",
        action="append",
        default=[],
        choices=[reason.label for reason in Reason],
        metavar="REASON",
        help=f"only those set aside for it; may be repeated: {', '.join(reason.label for reason in Reason)}",
    )
    add_since(command, "set aside")


def add_since(command: argparse.ArgumentParser, done: str) -> None:
    """Declare the option for the time since which something was done."""
    command.add_argument(
        "--since",
        type=_time_ms,
        metavar="TIME",
        help=f"only those {done} since 2026-11-21T08:00:00Z, or since 2h ago",
    )


def _place(text: str) -> Place:
    partition, _, offset = text.partition(":")
    if not (text.isascii() and partition.isdigit() and offset.isdigit() and len(text) <= 30):
        raise argparse.ArgumentTypeError(f"must be PARTITION:OFFSET such as 0:17, got {text!r}")
    return Place(int(partition), int(offset))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**6):
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 1000000, got {text!r}")
    return int(text)


def _time_ms(text: str) -> int:
    try:
        return SystemClock().wall_ms() - parse_duration(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        rule = "must be a time with its offset such as 2026-11-21T08:00:00Z, or a duration such as 2h"
        raise argparse.ArgumentTypeError(f"{rule}, got {text!r}")
    return int(time.timestamp() * 1000)
