"""This file holds the options of `tierwise rekey`, and starts it."""

import argparse

from config.kafka_rules import ALLOWED
from config.settings import Settings

REKEY_TEXT = """\
Copy a topic into the shape that the worker reads: keyed by user_id, as many partitions as the other input
topics, nothing twice. Runs until SIGTERM or Ctrl-C; started again, it goes on where it was. Start as many
processes as you like: the group shares the partitions among them.

The target is made when it does not exist. A message without a readable user_id keeps its key."""


def add_rekey_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what can be said on the command line."""
    command.add_argument(
        "--from", dest="source", metavar="TOPIC", required=True, help="the topic that is read"
    )
    command.add_argument(
        "--to", dest="target", metavar="TOPIC", required=True, help="the topic that is written"
    )
    command.add_argument(
        "--partitions",
        type=_positive,
        metavar="N",
        help="of the target [as the other input topics, else as the topic that is read]",
    )
    command.add_argument(
        "--partitioner",
        choices=ALLOWED["partitioner"][0],
        help="what all who write input topics must share [kafka.partitioner, else murmur2_random, as in Java]",
    )
    command.add_argument(
        "--group",
        metavar="NAME",
        help="consumer group of the copy [GROUP.rekey.FROM.TO, GROUP from the settings]",
    )
    command.add_argument(
        "--until-end", action="store_true", help="end at the present end of the topic instead of going on"
    )


def run_rekey(settings: Settings, parsed: argparse.Namespace) -> int:
    """Run the command; answer its exit code."""
    from flows.rekey.rekey import rekey
    from flows.rekey.topics import Route

    route = Route(parsed.source, parsed.target, parsed.partitions)
    return rekey(
        settings, route, group=parsed.group, partitioner=parsed.partitioner, until_end=parsed.until_end
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)
