"""One peer's process. This file starts it, waits for its figures, and leaves nothing of it behind."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence

from benchmarks.peers.catalogue import ROOT, Peer
from benchmarks.peers.servers import Servers
from flows.dev.child import Child, ChildFailed

DEADLINE_S = 120.0
TAIL = 1_500


def run_peer(
    peer: Peer, servers: Servers, prefix: str, topics: Sequence[str], count: int, warm: int
) -> dict[str, float]:
    """Let a peer read these topics; answer its figures, or raise ChildFailed with the end of what it said."""
    start = peer.command()
    folder = tempfile.mkdtemp(prefix="peer-")
    command = [
        *start,
        *("--bootstrap", servers.kafka.bootstrap, "--redis-url", servers.valkey.url),
        *("--redis-pid", str(servers.valkey.pid), "--prefix", prefix, "--topics", *topics),
        *("--events", str(count), "--warm", str(warm), "--way", peer.way, "--folder", folder),
    ]
    child = Child(peer.name, command, {**os.environ, **peer.environment(), "PYTHONPATH": str(ROOT)})
    try:
        give_up_s = time.monotonic() + DEADLINE_S
        while child.exit_code is None and time.monotonic() < give_up_s:
            time.sleep(0.05)
        return _figures(child)
    finally:
        child.stop(0.0, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # What it started itself, such as a JVM.
            os.killpg(child.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _figures(child: Child) -> dict[str, float]:
    said = child.log_tail(TAIL)
    for line in reversed(said.splitlines()):
        if line.startswith('{"messages"'):
            figures: dict[str, float] = json.loads(line)
            return figures
    ended = (
        f"ended with exit code {child.exit_code}" if child.exit_code is not None else "was not done in time"
    )
    raise ChildFailed(f"{child.name} {ended}; its log ends:\n{said}")
