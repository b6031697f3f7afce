"""This file asks what rubbish costs: decode and score a stream with and without 1% of it, in one run.

python -m benchmarks.rubbish [--events N] [--users N] [--runs N] [--save FILE]

Timed is all that a worker does in its own process but the sending: decode, the limit on dead letters, score,
the plan of the commit, the text of each dead letter. Both variants keep a shard of known users; rounds alternate.
It is CPU time, since one thread does it all, and others may want the machine; the ratio is that of each round.
"""

import argparse
import random
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.decode import FUTURE_TOLERANCE_MS, NOW_MS, POLICY, RUBBISH
from benchmarks.generator import events
from benchmarks.record import save_record
from config.policy_file import load_policy
from flows.clock import SystemClock
from flows.dead_letter_limit import DeadLetterLimit
from flows.decode import Decode
from flows.intake import BATCH_MESSAGES
from flows.items import RawBatch
from flows.measure import Measure
from flows.progress import Progress
from scoring.decoder import Decoder
from scoring.events import EventBatch, bare
from scoring.policy import Policy
from scoring.shard import Shard
from scoring.tables import compile_policy
from sinks.dead_letters import entry_of
from sinks.outbox import to_bytes

TOPIC = "clickstream"
SHARE = 0.01
LATENESS_MS = 259_200_000


class Variant:
    """One shard, and the stages before and behind it."""

    def __init__(self, policy: Policy) -> None:
        clock = SystemClock()
        progress = Progress(clock)
        limit = DeadLetterLimit([TOPIC], progress, Measure(policy, "bench", progress, clock))
        self._decode = Decode(Decoder(policy, FUTURE_TOLERANCE_MS), limit)
        self._shard = Shard(compile_policy(policy, 1, LATENESS_MS, 1024), 0, (TOPIC,), 5_000)
        self._next_offset = 0
        self.dead_letters = 0

    def seconds(self, values: Sequence[bytes]) -> float:
        """Take messages in batches; answer the CPU time it took."""
        started_s = time.thread_time()
        for first in range(0, len(values), BATCH_MESSAGES):
            self._take(list(values[first : first + BATCH_MESSAGES]))
        return time.thread_time() - started_s

    def _take(self, values: list[bytes | None]) -> None:
        count = len(values)
        offsets = np.arange(self._next_offset, self._next_offset + count)
        self._next_offset += count
        (batch,) = self._decode([RawBatch(0, 0, values, offsets, np.full(count, NOW_MS), bare)])
        assert isinstance(batch, EventBatch)
        self._shard.add(batch)
        self._shard.advance([False], [False])
        plan = self._shard.take_commit()
        assert plan is not None
        letters = [letter for chunk in plan.chunks for letter in chunk.dead_letters] + plan.dead_letters
        self.dead_letters += sum(1 for letter in letters if to_bytes(entry_of(letter, NOW_MS)))


def main() -> None:
    """Measure both variants in turn; print medians, spreads and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="messages a run [100000]")
    parser.add_argument("--users", type=int, default=20_000, help="users they are of [20000]")
    parser.add_argument("--runs", type=int, default=9, help="timed runs a variant, after one to warm up [9]")
    parser.add_argument("--save", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    policy, rng = load_policy(POLICY), random.Random(1)
    stream = (
        message.value or b"" for message in events(options.events * (options.runs + 1), options.users, NOW_MS)
    )
    variants = {"clean": Variant(policy), "1% rubbish": Variant(policy)}
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for run in range(options.runs + 1):
        clean = list(islice(stream, options.events))
        soiled = [rng.choice(RUBBISH) if rng.random() < SHARE else value for value in clean]
        for name in sorted(variants, reverse=bool(run % 2)):
            seconds = variants[name].seconds(clean if name == "clean" else soiled)
            if run:
                taken[name].append(seconds / options.events * 1e6)
    for name, runs in taken.items():
        print(f"{name:<12} {median(runs):8.3f} us per message  ({min(runs):.3f} to {max(runs):.3f})")
    ratios = [clean / soiled for clean, soiled in zip(*taken.values(), strict=True)]
    ratio = median(ratios)
    spread = f"({min(ratios):.3f} to {max(ratios):.3f})"
    letters = variants["1% rubbish"].dead_letters
    print(f"throughput with 1% rubbish / without = {ratio:.3f} {spread}, {letters} dead letters")
    save_record(
        options.save,
        {
            "settings": {
                "events": options.events,
                "users": options.users,
                "runs": options.runs,
                "policy": policy.label,
            },
            "us_per_message": taken,
            "ratio": ratio,
            "ratios": ratios,
        },
    )


if __name__ == "__main__":
    main()
