"""
Workers that need no time to start: forked from a process that has imported the program and has no threads.

Each is a process of its own that then runs `tierwise run` as any other. This file is both ends: the nursery
(`python -m tests.faults.nursery SOCKET`), and what asks it for workers.
"""

import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from flows.dev.child import Child
from flows.dev.leash import PR_SET_PDEATHSIG
from tests.conftest import REPOSITORY

PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES = 1 << 16
READY_DEADLINE_S = 150.0
"""Generous, since the first one may have to compile the kernels."""


class Nursery:
    """
    The process that workers are forked from.

    They become children of this process: the fork in between ends at once, and we adopt what it leaves.

    Args:
        changed_env: what the environment of all of them has in addition to ours.
    """

    def __init__(self, folder: Path, changed_env: Mapping[str, str]) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._address = str(folder / "nursery")
        env = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        # A library's thread would not be there in what is forked.
        env |= {"PYTHONPATH": str(REPOSITORY), "OPENBLAS_NUM_THREADS": "1"}
        if cache := os.environ.get("TIERWISE_KERNEL_CACHE"):
            env["TIERWISE_KERNEL_CACHE"] = cache
        env |= changed_env
        command = [sys.executable, "-m", "tests.faults.nursery", self._address, str(os.getpid())]
        self._child = Child("nursery", command, env)
        self._child.wait_until(lambda: os.path.exists(self._address), READY_DEADLINE_S)

    def hatch(self, name: str, arguments: Sequence[str], env: dict[str, str], sabotage: str | None) -> Child:
        """Start one worker; its environment is ours and `env`."""
        return Hatched(self._address, name, {"arguments": arguments, "env": env, "sabotage": sabotage})

    def close(self) -> None:
        """End it; the workers are not its children."""
        self._child.stop(with_signal=signal.SIGKILL)


class Hatched(Child):
    """A child process that somebody else forked."""

    def __init__(self, address: str, name: str, request: dict[str, Any]) -> None:
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the child
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            socket.send_fds(connection, [json.dumps(request).encode()], [self._log.fileno()])
            pid = int(connection.recv(32))
        self._process = _Adopted(pid)  # type: ignore[assignment]


class _Adopted:
    """What of `subprocess.Popen` a Child uses, for a child that was not started here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        give_up_s = time.monotonic() + (timeout if timeout is not None else 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > give_up_s:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.002)
        return code


def main(address: str, parent_pid: int) -> None:
    """Import everything once, then fork whenever asked."""
    import flows.assembly
    import flows.worker  # noqa: F401
    from tests.faults.sabotage import run

    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked safely"
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen()
    os.rename(address + ".new", address)  # Who sees the name can connect.
    while True:
        connection, _ = listener.accept()
        request, (log, *_), _, _ = socket.recv_fds(connection, REQUEST_BYTES, 1)
        if (between := os.fork()) == 0:
            if os.fork() == 0:
                listener.close()
                _become(json.loads(request), connection, log, parent_pid)
                code = run(json.loads(request)["sabotage"], json.loads(request)["arguments"])
                sys.stdout.flush()
                os._exit(code)
            os._exit(0)
        os.waitpid(between, 0)
        os.close(log)
        connection.close()


def _become(request: dict[str, Any], connection: socket.socket, log: int, parent_pid: int) -> None:
    """Put this process where a started one would be: its own session, log, environment, and a leash."""
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(request["env"])
    while os.getppid() != parent_pid:
        time.sleep(0.0005)  # The one between us is about to end.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    connection.send(str(os.getpid()).encode())
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
