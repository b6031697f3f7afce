"""This file saves what a benchmark found, with all that one must know to find it again."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def machine() -> str:
    """Name what a benchmark runs on."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def save_record(file: Path | None, found: Mapping[str, Any]) -> None:
    """Write the findings as JSON under command, date, machine, Python and commit; without a file do nothing."""
    if file is None:
        return
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "python": platform.python_version(),
        "commit": git.stdout.strip(),
        **found,
    }
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
