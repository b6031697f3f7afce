"""`tierwise dev up`: store and broker for working on something else. This file keeps them up until Ctrl-C."""

import argparse
import sys
import time

from flows.dev.child import ChildFailed
from flows.dev.demo import DONE, FAILED, terminated_is_interrupted
from flows.dev.stack import Stack, how_to_look


def run_dev_up(args: argparse.Namespace) -> int:
    """Start both servers with all topics, print how to reach them, and wait for Ctrl-C."""
    with terminated_is_interrupted():
        try:
            with Stack() as stack:
                print(f"a settings file for these servers: {stack.settings_file}")
                print(stack.settings_file.read_text(encoding="utf-8"))
                print(f"  tierwise run --settings {stack.settings_file}")
                print(how_to_look(stack, "u1"), flush=True)
                while True:
                    time.sleep(0.5)
                    stack.check()
        except KeyboardInterrupt:
            return DONE
        except ChildFailed as error:
            print(f"tierwise dev up: {error}", file=sys.stderr)
            return FAILED
