"""This file holds the options of `tierwise profiles`, and starts it."""

import argparse

from config.settings import Settings

PROFILES_TEXT = """\
Keep a compacted topic with the newest profile of every user, for those who start late: read it to its end, then
go on with the change topic, and pass over changes with a seq that the profile has. It follows the change topic
from its beginning and reads profiles from Redis. Runs until SIGTERM or Ctrl-C; started again, it goes on where
it was. Start as many processes as you like: the group shares the partitions among them."""


def add_profiles_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what can be said on the command line."""
    command.add_argument(
        "--to", dest="target", metavar="TOPIC", help="the topic that is written [PREFIX.profiles]"
    )
    command.add_argument(
        "--from-store",
        action="store_true",
        help="first write the profiles of all users in Redis: for a new topic, where old changes are deleted "
        "already; one process, before any other is started",
    )
    command.add_argument(
        "--until-end", action="store_true", help="end at the present end of the changes instead of going on"
    )


def run_profiles(settings: Settings, parsed: argparse.Namespace) -> int:
    """Run the command; answer its exit code."""
    from flows.profiles.profiles import profiles

    return profiles(settings, parsed.target, from_store=parsed.from_store, until_end=parsed.until_end)
