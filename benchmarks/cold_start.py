"""This file asks how long a worker takes from its start to its first change, and where the time goes.

python -m benchmarks.cold_start [--rounds N] [--save FILE]

The worker is the real service with the shipped policy, and one order waits for it. Rounds alternate: with an empty
folder for compiled kernels, and with the folder that this filled. Each round has a group of its own, so that nobody
waits for a member who has gone. The marks are the times in the worker's own log lines, beside what a client sees;
other work on the machine moves them, and the CPU time hardly.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.error import HTTPError

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.end_to_end import cpu_seconds_of
from benchmarks.record import save_record
from flows.dev.child import Child
from flows.dev.embedded import create_topics
from flows.dev.generator import CLICKSTREAM, ORDERS
from flows.dev.stack import PARTITIONS, POLICY, Stack

DEADLINE_S = 300.0
MARKS = ("started", "topics checked", "kernels", "stages", "assigned", "ready", "first change")
CPU = "CPU until ready"


def start(stack: Stack, prefix: str, kernels: Path) -> dict[str, float]:
    """Start a worker that keeps its kernels there; answer the seconds from its start to each mark, and of CPU."""
    send_order(stack.kafka.bootstrap)
    file = settings_file(stack, prefix)
    with_kernels = {**os.environ, "TIERWISE_KERNEL_CACHE": str(kernels)}
    command = [sys.executable, "-m", "flows.cli", "run", "--settings", str(file)]
    subscriber = subscribe(stack.kafka.bootstrap, f"{prefix}.changes")
    seen_s: dict[str, float] = {}
    started_s = time.time()
    worker = Child("worker", command, with_kernels)

    def look() -> bool:
        if "ready" not in seen_s and is_ready(stack.http_port):
            seen_s["ready"] = time.time() - started_s
            seen_s[CPU] = cpu_seconds_of(worker.pid)
        message = subscriber.poll(0)
        if "first change" not in seen_s and message is not None and not message.error():
            seen_s["first change"] = time.time() - started_s
        return {"ready", "first change"} <= seen_s.keys()

    try:
        worker.wait_until(look, DEADLINE_S)
        return {**marks(worker.log_tail(1_000_000), started_s), **seen_s}
    finally:
        subscriber.close()
        worker.stop(30)


def marks(log: str, started_s: float) -> dict[str, float]:
    """Answer what a worker's log tells, in seconds from its start."""
    assembled = fields(log, "stages.assembled")
    stages_s = seconds_after(assembled, started_s)
    kernels_s = stages_s - int(assembled["stages_ms"]) / 1e3
    return {
        "started": seconds_after(fields(log, "worker.started"), started_s),
        "topics checked": kernels_s - int(assembled["kernels_ms"]) / 1e3,
        "kernels": kernels_s,
        "stages": stages_s,
        "assigned": seconds_after(fields(log, "partitions.assigned"), started_s),
    }


def fields(log: str, event: str) -> dict[str, str]:
    """Answer the fields of the first line of this event."""
    line = next(line for line in log.splitlines() if f"event={event} " in line)
    return dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))


def seconds_after(line: dict[str, str], started_s: float) -> float:
    """Answer when a line was written."""
    return datetime.fromisoformat(line["time"]).timestamp() - started_s


def settings_file(stack: Stack, prefix: str) -> Path:
    """Write settings with output topics and a group of their own."""
    create_topics(stack.kafka.bootstrap, [f"{prefix}.changes", f"{prefix}.dead-letters"], PARTITIONS)
    settings = {
        "prefix": prefix,
        "kafka": stack.kafka.client_settings,
        "topics": {"input": [CLICKSTREAM, ORDERS]},
        "redis": {"url": stack.valkey.url},
        "policy": str(POLICY),
        "http": {"port": stack.http_port},
    }
    file = stack.settings_file.with_name(f"{prefix}.yaml")
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def send_order(bootstrap: str) -> None:
    """Send an order that lifts its user."""
    now_ms = time.time_ns() // 1_000_000
    event = {"event_id": f"e{now_ms}", "user_id": f"u{now_ms}", "type": "order_paid", "event_time": now_ms}
    producer = Producer({"bootstrap.servers": bootstrap})
    order = {"order_id": f"o{now_ms}", "amount": "100.00"}
    producer.produce(ORDERS, key=event["user_id"], value=json.dumps(event | order))
    producer.flush()


def subscribe(bootstrap: str, topic: str) -> Consumer:
    """Open a consumer of all partitions of a topic, which needs no group."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "cold-start", "fetch.wait.max.ms": 10})
    consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in range(PARTITIONS)])
    return consumer


def is_ready(port: int) -> bool:
    """Tell whether /ready says yes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (HTTPError, OSError):
        return False


def summary(rounds: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Answer each mark's seconds, sorted."""
    return {mark: sorted(round(one[mark], 2) for one in rounds) for mark in (*MARKS, CPU)}


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"empty": [], "warm": []}
    with Stack() as stack:
        for number in range(1, chosen.rounds + 1):
            with tempfile.TemporaryDirectory(prefix="tierwise-kernels-") as kernels:
                for cache, done in rounds.items():
                    done.append(start(stack, f"{cache}{number}", Path(kernels)))
    result = {cache: summary(done) for cache, done in rounds.items()}
    for mark in (*MARKS, CPU):
        cells = (
            f"{median(found[mark]):6.2f} ({found[mark][0]:.2f} to {found[mark][-1]:.2f})"
            for found in result.values()
        )
        print(f"{mark:16}", "   ".join(cells))
    save_record(chosen.save, {"seconds_from_start": result})


if __name__ == "__main__":
    main()
