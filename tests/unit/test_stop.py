"""Tests of the stop flag: a signal before the flow runs ends the process, wherever it is."""

import subprocess
import sys

from tests.conftest import REPOSITORY

CALLED_BACK = """
import ctypes, signal
from flows.stop import StopFlag

flag = StopFlag()
flag.is_running = {is_running}
flag.listen()
ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGTERM))()
print("went on, is_set:", flag.is_set)
"""


def ended(is_running: bool) -> tuple[int, str]:
    """Send SIGTERM to a process while a library, such as the compiler, calls it back; answer how it ended."""
    code = CALLED_BACK.format(is_running=is_running)
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_stop__before_the_flow_runs_is_at_once() -> None:
    """While kernels compile there is nothing to drain: exit code 0, also from inside the compiler."""
    assert ended(is_running=False) == (0, "")


def test_stop__while_the_flow_runs_is_up_to_the_flow() -> None:
    """A running flow sees the flag, and drains."""
    assert ended(is_running=True) == (0, "went on, is_set: True\n")
