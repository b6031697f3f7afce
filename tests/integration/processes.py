"""Processes of the machine, whoever started them. This file tells which of them live."""

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Tell whether there is such a process; one that ended and was not waited for is none."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
