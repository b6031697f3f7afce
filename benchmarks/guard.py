"""This file fails when one worker has become slower or dearer, next to what its consumer alone makes in the same run.

python -m benchmarks.guard [--rounds N] [--save FILE]

No second is compared with one of another run, but two shares of the ceiling are, with those in
benchmarks/results/guard.json: of its events a second, and of its events per CPU second. Each is the median of the
rounds: in what is saved here that is steadier than the best, as now and then a round flatters a worker by a quarter. A
short share is measured again, up to three times, before it fails: one round in five is that far below the median on a
small machine that nobody else seems to use. The worker shares the cores with Valkey, the ceiling does not: where others
take much of the machine its speed says nothing, and only the CPU is judged.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.end_to_end import ceiling, cpu_seconds_of, rate, score
from benchmarks.generator import events
from benchmarks.record import machine, save_record
from flows.dev.load import Loader
from flows.dev.stack import Stack

RECORD = Path(__file__).parent / "results" / "guard.json"
POLICY = Path(__file__).parent / "job.yaml"
EVENTS, USERS, ROUNDS, ATTEMPTS = 1_500_000, 100_000, 3, 4
TOLERATED = 0.8
QUIET = 0.1
ANEW = 'make bench-guard ARGS="--rounds 7 --save benchmarks/results/guard.json"'
REMEDY = f"is that meant? Then {ANEW}"

SPEED, CPU = "events_per_s", "events_per_cpu_s"


class Round(NamedTuple):
    """What consume() and value() made alone, then the worker, by measure; and the part of all cores others took."""

    ceiling: Mapping[str, float]
    worker: Mapping[str, float]
    others: float


class Verdict(NamedTuple):
    """Whether the worker is as good as it was, and the line that says so."""

    passed: bool
    line: str


def median_shares(rounds: Sequence[Round]) -> dict[str, float | None]:
    """
    Answer the shares of the ceiling; no speed without a quiet round.

    Each worker is compared with the ceiling just before it, which had the machine in much the same state.
    """
    quiet = [one for one in rounds if one.others < QUIET]
    return {SPEED: median_share(quiet, SPEED) if quiet else None, CPU: median_share(rounds, CPU)}


def median_share(rounds: Sequence[Round], measure: str) -> float:
    """Answer one share of the ceiling."""
    return median(one.worker[measure] / one.ceiling[measure] for one in rounds)


def verdict(shares: Mapping[str, float | None], record: Mapping[str, Any]) -> Verdict:
    """Compare shares with the recorded ones; 20% below still passes, and what one of both lacks is not judged."""
    passed, parts = True, []
    for name, share in shares.items():
        recorded = record["share_of_ceiling"][name]
        if share is None or recorded is None:
            parts.append(
                f"{name} not judged, others were busy {'here' if share is None else 'when recorded'}"
            )
            continue
        bar = TOLERATED * recorded
        passed = passed and share >= bar
        parts.append(
            f"{name} {share:.3f} {'>=' if share >= bar else '<'} {bar:.3f} (recorded {recorded:.3f})"
        )
    line = f"{', '.join(parts)}; recorded on {record['date']}, {record['machine']}"
    if passed:
        return Verdict(True, f"passed: worker / its consumer alone: {line}")
    return Verdict(False, f"FAILED: worker / its consumer alone: {line}; {REMEDY}")


def measured(stack: Stack, name: str, count: int) -> Round:
    """Let ceiling and worker read the same messages, one after the other."""
    started_s, machine_s, ours_s = time.monotonic(), machine_cpu_seconds(), our_cpu_seconds(stack)
    alone, worker = ceiling(stack, count), score(stack, name, count, POLICY)
    others_s = (machine_cpu_seconds() - machine_s) - (our_cpu_seconds(stack) - ours_s)
    others = max(0.0, others_s) / (time.monotonic() - started_s) / (os.cpu_count() or 1)
    found = Round(
        *({SPEED: rate(one), CPU: one["messages"] / one["cpu_s"]} for one in (alone, worker)), others=others
    )
    shares = (f"{measure} {median_share([found], measure):.3f}" for measure in (SPEED, CPU))
    print(f"{name}: {', '.join(shares)} of the ceiling; others took {others:.0%} of the machine", flush=True)
    return found


def machine_cpu_seconds() -> float:
    """Answer what everybody on this machine has used, and its host has taken; interrupts are nobody's."""
    line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _idle, _waiting, _hard, _soft, stolen = map(int, line.split()[1:9])
    return (user + nice + system + stolen) / os.sysconf("SC_CLK_TCK")


def our_cpu_seconds(stack: Stack) -> float:
    """Answer what we have used: this process, those that it has waited for, and the servers."""
    own = os.times()
    here = own.user + own.system + own.children_user + own.children_system
    return here + cpu_seconds_of(stack.valkey.pid) + cpu_seconds_of(stack.kafka.pid)


def is_as_good(stack: Stack, count: int, rounds: int) -> bool:
    """Measure, and again where a share is short; shares of another machine say nothing about this one."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if record["machine"] != machine():
        print(f"not judged: recorded on {record['machine']}, this is {machine()}; {ANEW}")
        return True
    for attempt in range(1, ATTEMPTS + 1):
        names = [f"attempt{attempt}round{number}" for number in range(1, rounds + 1)]
        found = verdict(median_shares([measured(stack, name, count) for name in names]), record)
        print(found.line, flush=True)
        if found.passed:
            return True
    return False


def main() -> int:
    """Measure; answer 1 when the worker has become worse. With --save write the shares to a file, and judge nothing."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    with Stack() as stack:
        count = Loader(stack.kafka.bootstrap, events(EVENTS, USERS, time.time_ns() // 1_000_000)).run()
        if not chosen.save:
            return 0 if is_as_good(stack, count, chosen.rounds) else 1
        rounds = [measured(stack, f"round{number}", count) for number in range(1, chosen.rounds + 1)]
    shares = median_shares(rounds)
    print(json.dumps(shares))
    if shares[SPEED] is None:
        print("others were busy in all rounds: record anew on a quiet machine, or speed will not be judged")
    save_record(chosen.save, {"rounds": [one._asdict() for one in rounds], "share_of_ceiling": shares})
    return 0


if __name__ == "__main__":
    sys.exit(main())
