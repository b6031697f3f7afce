"""This file holds the one kernel decorator, and where compiled kernels are kept."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config

ROOMS_WITH_KERNELS = ("scoring", "sinks", "flows/direct")


def source_fingerprint() -> str:
    """
    Hash everything that decides what a kernel compiles to.

    Numba's own cache looks at the file of the caller only and goes on running an old callee; a directory
    named by all sources, the versions and the CPU cannot be stale.
    """
    top = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in ROOMS_WITH_KERNELS:
        for path in sorted((top / room).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for fact in (platform.python_version(), numba.__version__, _cpu_model()):
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()[:24]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _cache_directory() -> str:
    """Answer a writable folder: $TIERWISE_KERNEL_CACHE, else the user's cache, else a temporary one."""
    homes = (os.environ.get("TIERWISE_KERNEL_CACHE"), str(Path("~/.cache/tierwise").expanduser()))
    for home in homes:
        if not home:
            continue
        folder = Path(home) / source_fingerprint()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return tempfile.mkdtemp(prefix="tierwise-kernels-")


numba_config.CACHE_DIR = _cache_directory()


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Compile a function for flat arrays with an explicit signature.

    Numpy error model: x / 0 is inf and an integer 1 // 0 is 0 in silence, so divisors are checked where the
    policy is compiled. Fast math stays off: with it isnan(nan) is False.
    """
    return numba.njit(signature, nogil=True, error_model="numpy", fastmath=False, cache=True)
