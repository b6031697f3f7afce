"""This file asks how the service scales: workers, partitions, users, a restart, a take-over, many deadlines at once.

python -m benchmarks.scale [--only CASE ...] [--events N] [--users N ...] [--rounds N] [--save FILE]

Each measurement has servers of its own and real workers. A stream is in its topics before the workers start, all at
once, so that the group shares its partitions out a single time. The clock runs from the first messages that any of them
reads to the last change confirmed; `joined_s` is how much later the last worker reads its first. CPU is that of all
workers together, each from its own first messages on. In the case `users` all of them are in the store before.
"""

import argparse
import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Self
from zlib import crc32

import redis

from benchmarks.end_to_end import cpu_seconds_of, wait_for
from benchmarks.generator import events
from benchmarks.memory import fill, fill_shard, idle, memory_mb, send
from benchmarks.record import save_record
from flows.dev.child import Child, free_port
from flows.dev.embedded import TANSU_CONSUMER_SETTINGS
from flows.dev.generator import CLICKSTREAM, ORDERS, Message
from flows.dev.load import Loader
from flows.dev.stack import PARTITIONS, PREFIX, Stack
from flows.dev.worker_metrics import fetch_metrics
from scoring.commit_plan import COLD, WARM
from sinks.keyspace import Keyspace

JOB = Path(__file__).with_name("job.yaml").resolve()
Found = dict[str, float]
SESSION_MS = int(TANSU_CONSUMER_SETTINGS["session.timeout.ms"])
STREAM_USERS = 100_000
READY_DEADLINE_S = 180.0
"""Generous: the first worker of all may have to compile its kernels."""
STOP_DEADLINE_S = 30.0
DONE_DEADLINE_S = 1_800.0
STORY_AGE_MS = 60 * 86_400_000
DEADLINES_SPAN_MS = 60_000


class Service:
    """A stack whose workers have ports of their own; what is set besides is `changed`."""

    def __init__(self, partitions: int = PARTITIONS, **changed: Any) -> None:
        self.partitions = partitions
        self.stack = Stack(overrides=changed, partitions=partitions)
        self.store: Any = redis.from_url(self.stack.valkey.url)

    def start(self, count: int) -> dict[int, Child]:
        """Start so many workers; answer them by port."""
        return {port: self.stack.start_worker(port) for port in [free_port() for _ in range(count)]}

    def wait_for_shares(self, workers: dict[int, Child]) -> None:
        """Wait until each worker owns as many partitions as the others."""
        share = self.partitions // len(workers)
        for port, worker in workers.items():
            worker.wait_until(lambda port=port: metric(port, "owned_partitions") == share, READY_DEADLINE_S)

    def wait_for(self, messages: int) -> None:
        """Wait until the store is done with so many messages, and all that came of them is confirmed."""
        wait_for(self.stack, PREFIX, messages, self.partitions, DONE_DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self.stack.close()


def metric(port: int, name: str) -> float:
    """Answer a metric of the worker on this port; 0 while nobody answers."""
    return (fetch_metrics(port) or {}).get(f"{PREFIX}_{name}", 0.0)


def stream(
    count: int,
    workers: int = 1,
    partitions: int = PARTITIONS,
    users: int = STREAM_USERS,
    stored: bool = False,
) -> Found:
    """
    Let workers score full topics of sessions; answer seconds of the wall, and of the CPU per million events.

    Args:
        stored: the store has all users before, silent for a year, so that each one who comes is read from it.
    """
    with Service(partitions, policy=str(JOB)) as service:
        messages = events(count, users, time.time_ns() // 1_000_000, "session")
        if stored:
            for one in range(partitions):
                fill_shard(service.store, one, users_of(one, partitions, users), COLD, JOB)
        send(service.stack, ((crc32(one.key) % partitions, one) for one in messages))
        running, store = service.start(workers), service.stack.valkey.pid
        started_s, cpu_s, store_cpu_s = 0.0, {}, 0.0
        give_up_s = time.monotonic() + READY_DEADLINE_S
        while len(cpu_s) < workers:
            for port, worker in running.items():
                if worker.pid not in cpu_s and metric(port, "messages_consumed_total"):
                    started_s = started_s or time.monotonic()
                    store_cpu_s = store_cpu_s or cpu_seconds_of(store)
                    cpu_s[worker.pid] = cpu_seconds_of(worker.pid)
            assert time.monotonic() < give_up_s, "a worker read nothing"
            time.sleep(0.01)
        joined_s = time.monotonic() - started_s
        service.wait_for(count)
        wall_s = time.monotonic() - started_s
        service.wait_for_shares(running)
        return {
            "events_per_s": round(count / wall_s),
            "wall_s": round(wall_s, 2),
            "joined_s": round(joined_s, 2),
            "cpu_s_per_million": round(
                sum(cpu_seconds_of(pid) - was for pid, was in cpu_s.items()) / count * 1e6, 2
            ),
            "store_cpu_s_per_million": round((cpu_seconds_of(store) - store_cpu_s) / count * 1e6, 2),
            "rss_mb": sum(memory_mb(pid, "VmRSS") for pid in cpu_s),
        }


def users_of(partition: int, partitions: int, users: int) -> Iterator[str]:
    """Name the users whose events go to a partition."""
    names = (f"u{number:07d}" for number in range(users))
    return (name for name in names if crc32(name.encode()) % partitions == partition)


def restart(users: int, home: int) -> Found:
    """
    Start a worker anew on a store with silent users, who have nothing ahead (COLD) or are all loaded (WARM).

    Seconds count from the start of the process: to /ready, and to the commit of an order that came just before.
    """
    with Service() as service:
        fill(service.store, users, home)
        workers = service.start(1)
        service.wait_for_shares(workers)
        for worker in workers.values():
            worker.stop(STOP_DEADLINE_S)
        order = event(idle(0, 0), "order_paid", time.time_ns() // 1_000_000, "500.00")
        send(service.stack, [(0, order)])
        started_s = time.monotonic()
        worker = service.stack.start_worker()
        worker.wait_until(lambda: is_ready(service.stack.http_port), READY_DEADLINE_S)
        ready_s = time.monotonic() - started_s
        service.wait_for(1)
        return {
            "ready_s": round(ready_s, 2),
            "first_commit_s": round(time.monotonic() - started_s, 2),
            "rss_mb": memory_mb(worker.pid, "VmRSS"),
        }


def is_ready(port: int) -> bool:
    """Tell whether the worker on this port says that it is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def takeover() -> Found:
    """Kill one of two workers; answer after how many seconds an event of every partition is committed."""
    with Service() as service:
        workers = service.start(2)
        service.wait_for_shares(workers)
        next(iter(workers.values())).stop(with_signal=signal.SIGKILL)
        started_s = time.monotonic()
        now_ms = time.time_ns() // 1_000_000
        send(service.stack, [(one, event(f"u{one}", "page_view", now_ms)) for one in range(PARTITIONS)])
        service.wait_for(PARTITIONS)
        return {"takeover_s": round(time.monotonic() - started_s, 2), "session_timeout_s": SESSION_MS / 1000}


def deadlines(users: int) -> Found:
    """
    Let the stream's time jump past the falls of all users, whom one order each lifted to silver within a minute.

    Only the stream moves time here: both topics of each partition get an event of now. Seconds count from there
    until nobody is on silver in the store any more, and all changes are confirmed.
    """
    now_ms = time.time_ns() // 1_000_000
    with Service(policy=str(JOB), watermark={"idle_after": "never"}) as service:
        workers = service.start(1)
        service.wait_for_shares(workers)
        (worker,) = workers.values()
        Loader(service.stack.kafka.bootstrap, one_order_each(users, now_ms - STORY_AGE_MS)).run()
        service.wait_for(users)
        silver = Keyspace(PREFIX).audience("tier", "silver")
        assert service.store.scard(silver) == users
        cpu_s, started_s = cpu_seconds_of(worker.pid), time.monotonic()
        send(service.stack, [(at, one) for at in range(PARTITIONS) for one in passers_by(at, now_ms)])
        worker.wait_until(lambda: not service.store.scard(silver), DONE_DEADLINE_S)
        service.wait_for(users + 2 * PARTITIONS)
        wall_s = time.monotonic() - started_s
        return {
            "deadlines_per_s": round(users / wall_s),
            "wall_s": round(wall_s, 2),
            "cpu_s_per_million": round((cpu_seconds_of(worker.pid) - cpu_s) / users * 1e6, 2),
        }


def one_order_each(users: int, end_ms: int) -> Iterator[Message]:
    """Let each user pay an order, of as much, in the minute before."""
    for number in range(users):
        at_ms = end_ms - DEADLINES_SPAN_MS + DEADLINES_SPAN_MS * number // users
        yield event(f"u{number:07d}", "order_paid", at_ms, "500.00")


def passers_by(partition: int, at_ms: int) -> list[Message]:
    """Let one user of a partition be seen in both topics; he does not spend enough for silver."""
    user = f"passer-by-{partition}"
    return [event(user, "page_view", at_ms), event(user, "order_paid", at_ms, "1.00")]


def event(user: str, kind: str, at_ms: int, amount: str | None = None) -> Message:
    """Write one event, sent when it happens; with an amount, an order."""
    fields = {"event_id": f"{user}-{kind}", "user_id": user, "type": kind, "event_time": at_ms}
    if amount:
        fields |= {"order_id": f"order-{user}", "amount": amount}
    return Message(ORDERS if amount else CLICKSTREAM, user.encode(), json.dumps(fields).encode(), at_ms)


def cases(chosen: argparse.Namespace) -> dict[str, dict[str, Callable[[], Found]]]:
    """Answer what there is to measure, and how, case by case."""
    count = chosen.events
    return {
        "workers": {f"workers: {n}": partial(stream, count, workers=n) for n in chosen.workers},
        "restart": {
            f"restart, {chosen.stored} users, nothing ahead": partial(restart, chosen.stored, COLD),
            f"restart, {chosen.stored} users, all loaded": partial(restart, chosen.stored, WARM),
        },
        "partitions": {f"partitions: {n}": partial(stream, count, partitions=n) for n in chosen.partitions},
        "users": {f"users: {n}": partial(stream, count, users=n, stored=True) for n in chosen.users},
        "takeover": {"one of two workers killed": takeover},
        "deadlines": {f"deadlines: {chosen.stored}": partial(deadlines, chosen.stored)},
    }


def main() -> None:
    """Measure and print; with --save write the result to a file, after each round."""
    names = ["workers", "restart", "partitions", "users", "takeover", "deadlines"]
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="CASE", help=", ".join(names)
    )
    options.add_argument("--events", type=int, default=2_000_000, help="length of a stream")
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options.add_argument("--partitions", type=int, nargs="+", default=[12, 96])
    options.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument(
        "--stored", type=int, default=1_000_000, help="users of a restart and of the deadlines"
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    found: dict[str, list[Found]] = {}
    for _ in range(chosen.rounds):
        for case in chosen.only:
            for name, measure in cases(chosen)[case].items():
                found.setdefault(name, []).append(measure())
                print(f"{name:40} {found[name][-1]}", flush=True)
        save_record(chosen.save, found)
    for name, rounds in found.items():
        print(f"{name:40} medians:", {key: median(one[key] for one in rounds) for key in rounds[0]})


if __name__ == "__main__":
    main()
