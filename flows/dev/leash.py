"""
Become another program that dies with its parent. This file is a script: leash.py PARENT_PID PROGRAM ARGS...

It runs before the program instead of in a `preexec_fn`, because Python code between fork and exec can hang
a process that has threads. The kernel sends the signal when the THREAD that started the child ends,
so start children from a thread that lives as long as they should.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death, then turn into the program."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # The parent died before the kernel knew of the wish.
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
