"""This file asks what one worker makes of a stream, next to what its consumer alone could deliver, in one run.

python -m benchmarks.end_to_end [--events N] [--users N] [--locality NAME] [--rounds N] [--policy FILE] [--save FILE]

The worker is the real service with its default guarantees: fenced commits to Valkey, outbox, change topic,
metrics. The ceiling is a loop of consume() and value() over the same topics. Rounds alternate.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import redis
from confluent_kafka import Consumer

from benchmarks.generator import LOCALITIES, events
from benchmarks.peers.servers import Servers
from benchmarks.record import save_record
from flows.dev.child import Child
from flows.dev.embedded import create_topics
from flows.dev.generator import CLICKSTREAM, ORDERS
from flows.dev.load import Loader
from flows.dev.stack import PARTITIONS, POLICY, Stack
from flows.dev.worker_metrics import fetch_metrics
from sinks.keyspace import OFFSET, Keyspace

DEADLINE_S = 120.0


def consume_only(bootstrap: str, topics: Sequence[str], count: int) -> None:
    """Read everything with consume() and value(), and print the seconds it took, of the wall and of the CPU."""
    settings = {"bootstrap.servers": bootstrap, "group.id": f"ceiling-{os.getpid()}"}
    reading = {"auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
    consumer = Consumer({**settings, **reading, "fetch.queue.backoff.ms": 5})
    consumer.subscribe(list(topics))
    read, size, started_s, cpu_s = 0, 0, 0.0, 0.0
    while read < count:
        messages = consumer.consume(20_000, 0.1)
        if not read and messages:
            started_s, cpu_s = time.monotonic(), cpu_seconds()
        size += sum(len(message.value()) for message in messages)
        read += len(messages)
    print(json.dumps({"wall_s": time.monotonic() - started_s, "cpu_s": cpu_seconds() - cpu_s}))
    consumer.close()


def cpu_seconds() -> float:
    """Answer the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_seconds_of(pid: int) -> float:
    """Answer the CPU time of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def score(
    stack: Stack | Servers,
    prefix: str,
    count: int,
    policy: Path,
    topics: Sequence[str] = (CLICKSTREAM, ORDERS),
) -> dict[str, float]:
    """
    Let a fresh worker, with this prefix and a group of its own, score everything from the beginning.

    The clock runs from the first messages read, as the ceiling's does, to the last commit, and until all changes are
    published: what a worker has read ahead of its commits cannot flatter it. `store_cpu_s` is what Valkey used
    meanwhile.
    """
    create_topics(stack.kafka.bootstrap, [f"{prefix}.changes", f"{prefix}.dead-letters"], PARTITIONS)
    settings = {
        "prefix": prefix,
        "kafka": stack.kafka.client_settings,
        "topics": {"input": list(topics)},
        "redis": {"url": stack.valkey.url},
        "policy": str(policy.resolve()),
        "http": {"port": stack.http_port},
    }
    file = stack.settings_file.with_name(f"{prefix}.yaml")
    file.write_text(json.dumps(settings), encoding="utf-8")
    worker = Child(
        "worker", [sys.executable, "-m", "flows.cli", "run", "--settings", str(file)], dict(os.environ)
    )
    try:
        worker.wait_until(lambda: has_begun(prefix, stack.http_port), DEADLINE_S)
        started_s, cpu_s = time.monotonic(), cpu_seconds_of(worker.pid)
        store_cpu_s = cpu_seconds_of(stack.valkey.pid)
        wait_for(stack, prefix, count)
        return {
            "messages": count,
            "wall_s": time.monotonic() - started_s,
            "cpu_s": cpu_seconds_of(worker.pid) - cpu_s,
            "store_cpu_s": cpu_seconds_of(stack.valkey.pid) - store_cpu_s,
        }
    finally:
        worker.stop(30)


def has_begun(prefix: str, port: int) -> bool:
    """Tell whether the worker has taken in its first messages."""
    return (fetch_metrics(port) or {}).get(f"{prefix}_messages_consumed_total", 0) > 0


def wait_for(
    stack: Stack | Servers,
    prefix: str,
    messages: int,
    partitions: int = PARTITIONS,
    deadline_s: float = DEADLINE_S,
) -> None:
    """
    Wait until the store is done with so many messages, and with all that came of them.

    The store is asked, not the worker: its counters run ahead of its commits.
    """
    keys, give_up_s = Keyspace(prefix), time.monotonic() + deadline_s
    with redis.Redis.from_url(stack.valkey.url) as store:
        while time.monotonic() < give_up_s:
            pipe = store.pipeline(transaction=False)  # Many partitions are still one question.
            for one in range(partitions):
                pipe.hgetall(keys.meta(one)).xlen(keys.outbox(one))
            answers = pipe.execute()
            metas, waiting = answers[::2], answers[1::2]
            done = sum(int(at) for meta in metas for name, at in meta.items() if name.startswith(OFFSET))
            if done >= messages and not any(waiting):
                return
            time.sleep(0.02)
    raise TimeoutError(f"the worker did not store {messages} messages in {deadline_s} s")


def ceiling(
    stack: Stack | Servers, count: int, topics: Sequence[str] = (CLICKSTREAM, ORDERS)
) -> dict[str, float]:
    """Measure consume() and value() in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.end_to_end", "--ceiling", stack.kafka.bootstrap]
    command += ["--events", str(count), "--topics", *topics]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(answer.stdout)
    return {"messages": count, **figures}


def rate(figures: dict[str, float]) -> float:
    """Answer the messages a second of one round."""
    return figures["messages"] / figures["wall_s"]


def summary(name: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Answer the median and the spread of one variant."""
    rates = sorted(map(rate, rounds))
    cpu = sorted(figures["cpu_s"] / figures["messages"] * 1e6 for figures in rounds)
    print(
        f"{name:16} {median(rates):>10,.0f} events/s ({rates[0]:,.0f} to {rates[-1]:,.0f})  "
        f"{median(cpu):6.2f} CPU s per million ({cpu[0]:.2f} to {cpu[-1]:.2f})"
    )
    return {"events_per_s": rates, "cpu_s_per_million": cpu}


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=2_000_000)
    options.add_argument("--users", type=int, default=100_000)
    options.add_argument("--locality", choices=LOCALITIES, default="uniform", help="how users are drawn")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--policy", type=Path, default=POLICY)
    options.add_argument("--save", type=Path)
    options.add_argument("--ceiling", metavar="BOOTSTRAP", help=argparse.SUPPRESS)
    options.add_argument("--topics", nargs="+", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.ceiling:
        consume_only(chosen.ceiling, chosen.topics, chosen.events)
        return
    with Stack() as stack:
        end_ms = time.time_ns() // 1_000_000
        count = Loader(
            stack.kafka.bootstrap, events(chosen.events, chosen.users, end_ms, chosen.locality)
        ).run()
        ceilings, workers = [], []
        for number in range(1, chosen.rounds + 1):
            ceilings.append(ceiling(stack, count))
            workers.append(score(stack, f"round{number}", count, chosen.policy))
    result = {
        "consume and value": summary("consume + value", ceilings),
        "worker": summary("worker", workers),
    }
    shares = sorted(rate(worker) / rate(alone) for alone, worker in zip(ceilings, workers, strict=True))
    result["share_of_ceiling"] = shares
    print(
        f"share of ceiling {median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f}), events/s, round by round"
    )
    save_record(chosen.save, result)


if __name__ == "__main__":
    main()
