"""Tests of the demo as a user starts it: it ends by itself, and never leaves anything running."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.integration.processes import is_running

DEMO = [sys.executable, "-m", "flows.cli", "demo"]
ENDED_WITHIN_S = 240  # The very first start of a worker compiles its kernels.
GONE_WITHIN_S = 10.0


def test_demo__ends_by_itself_with_everything_scored() -> None:
    """Without a terminal the demo prints lines, scores all messages, shows a tier change and exits 0."""
    demo = _run("--events", "5000", "--users", "200", "--rate", "20000")
    assert demo.returncode == 0, demo.stderr
    assert "first tier change after" in demo.stdout
    assert "done: 5,000 messages" in demo.stdout


def test_demo__replays_real_orders(retail_file: Path) -> None:
    """Real events from a packed file run through the same worker."""
    demo = _run("--input", str(retail_file), "--events", "4000")
    assert demo.returncode == 0, demo.stderr
    assert "done: 4,000 messages" in demo.stdout


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_demo__leaves_nothing_running(sent: signal.Signals) -> None:
    """Servers and worker are gone soon after the demo was killed, interrupted or told to end."""
    command = [*DEMO, "--no-ui", "--keep", "--events", "1000000"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    assert demo.stdout is not None
    demo.stdout.readline()  # The first line comes when everything has been started.
    children = _children(demo.pid)
    assert len(children) == 3
    demo.send_signal(sent)
    demo.wait(GONE_WITHIN_S + 5)
    demo.stdout.close()
    give_up_at = time.monotonic() + GONE_WITHIN_S
    while any(map(is_running, children)):
        assert time.monotonic() < give_up_at, f"still running: {children}"
        time.sleep(0.01)


@pytest.mark.parametrize("wrong", [["--events", "0"], ["--rate", "-1"], ["--input", "/no/such/file.jsonl"]])
def test_demo__refuses_wrong_usage(wrong: list[str]) -> None:
    """Options that make no sense end the demo before anything is started, with exit code 2."""
    demo = _run(*wrong)
    assert demo.returncode == 2
    assert wrong[0] in demo.stderr


def test_dev_up__offers_settings_that_pass_the_check() -> None:
    """The settings of `dev up` pass `tierwise check` while it runs, and Ctrl-C ends it with exit code 0."""
    up = subprocess.Popen([*DEMO[:-1], "dev", "up"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert up.stdout is not None
    settings = up.stdout.readline().split()[-1]
    check = subprocess.run([*DEMO[:-1], "check", "--settings", settings], check=False, cwd=REPOSITORY)
    children = _children(up.pid)
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=GONE_WITHIN_S)
    assert (check.returncode, up.returncode) == (0, 0)
    assert [is_running(pid) for pid in children] == [False, False]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        cwd=REPOSITORY,
    )


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
