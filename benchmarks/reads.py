"""This file asks how long an app waits for a profile while a worker writes many, next to a store at rest.

python -m benchmarks.reads [--rate N] [--seconds N] [--users N] [--rounds N] [--save FILE]

One reader asks for one random user after another through ProfileReader, with a pause in between, in a process of its
own. The worker is the real service with the shipped policy. At `--rate` events a second of uniformly drawn users,
about as many users are written. Rounds alternate between rest, load, and load with store and reader first: at real-time
priority (which needs root), as if broker, worker and sender were on other machines. What is left is what a reader waits
for in the store.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.end_to_end import wait_for
from benchmarks.generator import events
from benchmarks.record import save_record
from flows.dev.load import Loader
from flows.dev.stack import PREFIX, Stack
from flows.dev.worker_metrics import fetch_metrics
from sinks.profile_reader import ProfileReader

PAUSE_S = 0.001
WARM_UP_S = 3.0
WRITTEN = f"{PREFIX}_commit_users_sum"


def read_profiles(url: str, seconds: float, users: int) -> None:
    """Read random profiles for so long, and print the milliseconds that half and 99% of them took at most."""
    rng, took_ms = random.Random(3), []
    with ProfileReader(url, PREFIX) as reader:
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            answer = reader.answer(f"u{rng.randrange(users):07d}")
            took_ms.append((time.monotonic() - now_s) * 1e3)
            assert answer.profile, answer
            time.sleep(PAUSE_S)
    p50, p99 = np.percentile(took_ms, [50, 99])
    print(json.dumps({"reads": len(took_ms), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}))


@contextmanager
def before_all_others(pid: int) -> Iterator[None]:
    """Give a process the CPU before all others for as long; what it starts meanwhile as well."""
    try:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
        yield
    finally:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def reader(stack: Stack, seconds: float, users: int, is_first: bool = False) -> dict[str, float]:
    """Read in a process of its own; answer what it found, and how many users were written a second meanwhile."""
    before, started_s = written(stack), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.reads", "--read", stack.valkey.url]
    command += ["--seconds", str(seconds), "--users", str(users), *(["--first"] if is_first else [])]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    found["users_per_s"] = round((written(stack) - before) / (time.monotonic() - started_s))
    return found


def written(stack: Stack) -> float:
    """Answer how many users the worker has written so far."""
    return (fetch_metrics(stack.http_port) or {}).get(WRITTEN, 0.0)


def under_load(stack: Stack, rate: int, seconds: float, users: int, is_first: bool) -> dict[str, float]:
    """Read while events come in at this rate; `is_first`: with store and reader before all others."""
    count = round(rate * (seconds + 2 * WARM_UP_S))
    messages = list(events(count, users, time.time_ns() // 1_000_000))
    loader = Loader(stack.kafka.bootstrap, messages, rate)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(loader.run)
        time.sleep(WARM_UP_S)
        with before_all_others(stack.valkey.pid) if is_first else nullcontext():
            found = reader(stack, seconds, users, is_first)
        sending.result()
    return found


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rate", type=int, default=22_000, help="events a second")
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--users", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--save", type=Path)
    options.add_argument("--read", metavar="URL", help=argparse.SUPPRESS)
    options.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.first:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if chosen.read:
        read_profiles(chosen.read, chosen.seconds, chosen.users)
        return
    found: dict[str, list[dict[str, float]]] = {"rest": [], "load": [], "load, store and reader first": []}
    with Stack() as stack:
        stack.start_worker()
        everybody = events(20 * chosen.users, chosen.users, time.time_ns() // 1_000_000)
        count = Loader(stack.kafka.bootstrap, everybody).run()
        for _ in range(chosen.rounds):
            wait_for(stack, PREFIX, count)
            found["rest"].append(reader(stack, chosen.seconds, chosen.users))
            for name, is_first in (("load", False), ("load, store and reader first", True)):
                found[name].append(under_load(stack, chosen.rate, chosen.seconds, chosen.users, is_first))
                count += round(chosen.rate * (chosen.seconds + 2 * WARM_UP_S))
                wait_for(stack, PREFIX, count)
    result: dict[str, Any] = dict(found)
    for name, rounds in found.items():
        p99, p50 = (median(one[key] for one in rounds) for key in ("p99_ms", "p50_ms"))
        pace = median(one["users_per_s"] for one in rounds)
        print(
            f"{name}: {pace:,.0f} users written a second, a read takes {p50:.2f} ms, 99% at most {p99:.2f} ms"
        )
    save_record(chosen.save, result)


if __name__ == "__main__":
    main()
