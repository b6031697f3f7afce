"""What the commands `tierwise webhooks ...` take. This file declares it."""

import argparse

from flows.dead_letters.arguments import add_since
from flows.webhooks.parked import REASONS

TEXT = """\
Deliver changes to the HTTP endpoints of the settings (webhooks.endpoints), by the Standard Webhooks
specification, until SIGTERM or Ctrl-C. Start as many processes as you like: they share the partitions.
/metrics, /live and /ready are served at http.host:http.port (one port for each process of a machine)."""
LIST_TEXT = """\
Say each parked change in a line: its id, endpoint, reason, how often it was tried and why that failed.
What was sent again since is not there. The last line counts them. Nothing is changed."""
RESEND_TEXT = """\
Send parked changes once more to their endpoints, each user's in order, at the endpoint's rate. What an
endpoint takes is not parked any more; what it refuses stays, with all of that user behind it."""


def add_deliver(command: argparse.ArgumentParser) -> None:
    """Declare what the delivery itself takes."""
    command.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="NAME",
        dest="only",
        help="only this one; may be repeated [all]",
    )


def add_list(command: argparse.ArgumentParser) -> None:
    """Declare what `list` takes."""
    _add_filters(command)


def add_resend(command: argparse.ArgumentParser) -> None:
    """Declare what `resend` takes."""
    command.add_argument("ids", nargs="*", metavar="ID", help="these, as `list` says them")
    command.add_argument("--all", action="store_true", help="all that are parked")
    _add_filters(command)
    command.add_argument("--dry-run", action="store_true", help="say what would be sent, send nothing")


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="NAME",
        help="only those of this endpoint; may be repeated",
    )
    command.add_argument(
        "--reason",
        action="append",
        default=[],
        choices=REASONS,
        metavar="REASON",
        help=f"only those parked for it; may be repeated: {', '.join(REASONS)}",
    )
    add_since(command, "parked")
