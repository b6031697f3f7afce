"""This file fails when one worker has become dearer: its CPU against that of its consumer alone, in one run.

python -m benchmarks.guard

It compares with the saved run of benchmarks/job.yaml, and takes the best of a few rounds: what makes the code
slower shows in each of them, what else the machine does only in some.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.end_to_end import ceiling, score
from benchmarks.generator import events
from flows.dev.load import Loader
from flows.dev.stack import Stack

RECORD = Path(__file__).parent / "results" / "end_to_end_job.json"
POLICY = Path(__file__).parent / "job.yaml"
EVENTS, WARM, USERS, ROUNDS = 2_500_000, 1_000_000, 100_000, 3
TOLERATED = 0.8


def recorded_share() -> float:
    """Answer the share in the saved run: the consumer's CPU of the worker's."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    alone, worker = (median(record[name]["cpu_s_per_million"]) for name in ("consume and value", "worker"))
    return alone / worker


def measured_share(stack: Stack, number: int, count: int) -> float:
    """Answer the share in a round of its own."""
    alone, worker = ceiling(stack, count), score(stack, f"guard{number}", WARM, count, POLICY)
    return (alone["cpu_s"] / alone["messages"]) / (worker["cpu_s"] / worker["messages"])


def main() -> int:
    """Measure; answer 1 when the worker takes much more than it did."""
    bar = TOLERATED * recorded_share()
    with Stack() as stack:
        count = Loader(stack.kafka.bootstrap, events(EVENTS, USERS, time.time_ns() // 1_000_000)).run()
        shares = []
        for number in range(ROUNDS):
            shares.append(measured_share(stack, number, count))
            print(f"consume and value take {shares[-1]:.2f} of the worker's CPU; at least {bar:.2f} is asked")
            if shares[-1] >= bar:
                return 0
    print(f"the worker has become dearer than in {RECORD.name}: is that meant? Then measure and save anew.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
