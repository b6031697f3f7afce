"""This file asks what a message costs to be read: librdkafka's own against confluent-kafka's objects, in one run.

python -m benchmarks.reading [--events N] [--rounds N] [--save FILE]

Read until every partition ends, ready to be scanned. The figures hold all threads of this process, so also what
librdkafka's own do to fetch.
"""

import argparse
import time
from pathlib import Path
from statistics import median

from confluent_kafka import TopicPartition

from benchmarks.end_to_end import cpu_seconds
from benchmarks.generator import events
from benchmarks.record import save_record
from flows.dev.generator import CLICKSTREAM, ORDERS
from flows.dev.load import Loader
from flows.dev.stack import PARTITIONS, Stack
from flows.intake import open_intake
from flows.items import AtEnd
from flows.membership import open_consumer
from scoring.joined import JoinedValues, joined

TOPICS = (CLICKSTREAM, ORDERS)
VALUE_BYTES_MAX = 65_536


def read_all(stack: Stack, count: int, number: int, *, direct: bool) -> float:
    """Read everything from the beginning; answer the microseconds of CPU a message took."""
    consumer = open_consumer(stack.kafka.client_settings, f"reading-{number}-{direct}")
    intake = open_intake(consumer, TOPICS, VALUE_BYTES_MAX, direct=direct)
    places = [TopicPartition(topic, partition, 0) for topic in TOPICS for partition in range(PARTITIONS)]
    intake.forward(places)
    started_s, read = cpu_seconds(), 0
    consumer.assign(places)
    while read < count:
        for item in intake.read(0.1, is_assigned=True):
            if not isinstance(item, AtEnd):
                laid_out = isinstance(item.values, JoinedValues)
                read += len(item.values if laid_out else joined(item.values, VALUE_BYTES_MAX))
    used_s = cpu_seconds() - started_s
    intake.close()
    consumer.close()
    return used_s / count * 1e6


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=2_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    found: dict[str, list[float]] = {"direct": [], "objects": []}
    with Stack() as stack:
        end_ms = time.time_ns() // 1_000_000
        count = Loader(stack.kafka.bootstrap, events(chosen.events, 100_000, end_ms)).run()
        for number in range(chosen.rounds):
            for name, rounds in found.items():
                rounds.append(read_all(stack, count, number, direct=name == "direct"))
    for name, rounds in found.items():
        print(f"{name:8} {median(rounds):.3f} us of CPU a message ({min(rounds):.3f} to {max(rounds):.3f})")
    save_record(chosen.save, {"us_of_cpu_a_message": found})


if __name__ == "__main__":
    main()
