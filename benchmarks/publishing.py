"""This file asks what a change costs to be published: handed to librdkafka directly or as objects, in one run.

python -m benchmarks.publishing [--changes N] [--rounds N] [--save FILE]

From a batch as the store gives it back to the confirmation of its last message. `writer` is the thread that does
so, `process` holds librdkafka's own threads as well, which send.
"""

import argparse
import time
from pathlib import Path
from statistics import median

from benchmarks.end_to_end import cpu_seconds
from benchmarks.record import save_record
from flows.dev.stack import CHANGES, DEAD_LETTERS, Stack
from scoring.events import LadderChange
from sinks.change_topic import entry_of
from sinks.outbox import Kind, OutboxBatch, pack
from sinks.relay import Relay

TOPICS: dict[Kind, str] = {"change": CHANGES, "dead_letter": DEAD_LETTERS}
SHARDS, USERS, FLUSH_S = 4, 10_000, 120.0


def change(number: int) -> LadderChange:
    """Make a change such as the shipped policy makes."""
    why = (("attention", 12.5, 3.75), ("order_habit", 2.0, 24.0), ("spending", 268.5 + number, 9.156))
    user = f"user-{number % USERS:06d}"
    at_ms = 1_788_220_800_000 + number * 137
    rungs = ("bronze", "silver", 0, 1, "event", f"evt-{number}", 36.906)
    return LadderChange(
        user, number, "tier", *rungs, at_ms, at_ms - 9_000, "gold", 13.094, at_ms, why, "shop@1"
    )


def batches(count: int, size: int) -> list[OutboxBatch]:
    """Make what as many writes have to tell, as a store numbers it."""
    return [
        pack([entry_of(change(number)) for number in range(first, first + size)], f"{first + 1}-0")
        for first in range(0, count, size)
    ]


def publish_all(relay: Relay, stored: list[OutboxBatch]) -> tuple[float, float]:
    """Publish batches as a worker's shards have them; answer the seconds of CPU of this thread, and of all."""
    thread_s, process_s = time.thread_time(), cpu_seconds()
    for number, batch in enumerate(stored):
        relay.publish(number % SHARDS, [batch])
        relay.poll()
    if not relay.flush(FLUSH_S):
        raise TimeoutError(f"not published within {FLUSH_S:.0f} s")
    return time.thread_time() - thread_s, cpu_seconds() - process_s


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--changes", type=int, default=40_000, help="a round and variant [40000]")
    options.add_argument("--size", type=int, default=40, help="changes in a batch [40]")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    found: dict[str, list[float]] = {
        f"{way} {what}": [] for way in ("direct", "objects") for what in ("writer", "process")
    }
    stored = batches(chosen.changes, chosen.size)
    with Stack() as stack:
        for number in range(chosen.rounds + 1):
            for way in ("direct", "objects"):
                relay = Relay(stack.kafka.client_settings, TOPICS, direct=way == "direct")
                for shard in range(
                    SHARDS
                ):  # Topics are looked up, and a producer gets its id, before it counts.
                    relay.publish(shard, stored[:1])
                relay.flush(FLUSH_S)
                writer_s, process_s = publish_all(relay, stored)
                relay.close()
                if number:
                    found[f"{way} writer"].append(writer_s / chosen.changes * 1e6)
                    found[f"{way} process"].append(process_s / chosen.changes * 1e6)
    for name, rounds in found.items():
        print(f"{name:16} {median(rounds):.3f} us of CPU a change ({min(rounds):.3f} to {max(rounds):.3f})")
    settings = {"changes": chosen.changes, "size": chosen.size, "bytes": len(stored[0].packed) / chosen.size}
    save_record(chosen.save, {"settings": settings, "us_of_cpu_a_change": found})


if __name__ == "__main__":
    main()
