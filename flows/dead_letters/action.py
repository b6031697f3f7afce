"""A command that looks through a topic and prints. This file declares it, and ends it well whatever happens."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from config.settings import Settings
from flows.dead_letters.reading import LettersUnreadable
from flows.log import take_over_logging

DONE = 0


@dataclass(frozen=True, slots=True)
class Action:
    """One of the commands: how it is declared and run."""

    name: str
    summary: str
    text: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    act: Callable[[Settings, argparse.Namespace], int]


def run_action(settings: Settings, parsed: argparse.Namespace, fail: Callable[[str], int]) -> int:
    """Run the action that was chosen (`parsed.act`); answer the exit code. `fail` says what went wrong."""
    take_over_logging()
    try:
        code: int = parsed.act(settings, parsed)
        sys.stdout.flush()
    except (LettersUnreadable, KafkaException) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted")
    except BrokenPipeError:
        # Whoever read our lines has seen enough; the interpreter's own flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code
