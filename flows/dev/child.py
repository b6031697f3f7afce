"""Child processes that are started, watched, stopped, and gone when we are. This file knows no server."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LEASH = str(Path(__file__).with_name("leash.py"))
LOG_TAIL_SIZE = 4_000


class ChildFailed(RuntimeError):
    """A child process ended, or did not become ready in time; the message holds the end of its log."""


class Child:
    """One child process, its log in a file without a name, so that nothing stays on disk either."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the child
        leashed = [sys.executable, "-I", "-S", LEASH, str(os.getpid()), *command]
        self._process = subprocess.Popen(
            leashed,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=env,
            start_new_session=True,  # Ctrl-C is the parent's, which stops its children in order.
        )

    @property
    def pid(self) -> int:
        """Name the process; the leash turned into the program, so this is the program itself."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Tell how it ended, None while it runs."""
        return self._process.poll()

    def log_tail(self, size: int = LOG_TAIL_SIZE) -> str:
        """Return the last bytes of what the child printed."""
        end = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, max(0, end - size)).decode("utf-8", "replace")

    def wait_until(self, is_ready: Callable[[], bool], deadline_s: float) -> None:
        """Return as soon as the condition holds; ChildFailed when the child ends or the time is up."""
        give_up_at = time.monotonic() + deadline_s
        while True:
            if self.exit_code is not None:
                raise ChildFailed(
                    f"{self.name} ended with exit code {self.exit_code}; its log ends:\n{self.log_tail()}"
                )
            if is_ready():
                return
            if time.monotonic() > give_up_at:
                raise ChildFailed(
                    f"{self.name} was not ready after {deadline_s:g} s; its log ends:\n{self.log_tail()}"
                )
            time.sleep(0.01)

    def stop(self, deadline_s: float = 10.0, with_signal: int = signal.SIGTERM) -> int:
        """Ask it to end, kill it after the deadline, and return its exit code; harmless twice."""
        if self.exit_code is None:
            self._process.send_signal(with_signal)
            self._process.send_signal(signal.SIGCONT)  # A stopped process would not see the first one.
            try:
                self._process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
