"""This file asks how long an order takes to be seen: in Redis by a reader, and on the change topic by a subscriber.

python -m benchmarks.latency [--rates N ...] [--intervals MS ...] [--seconds N] [--save FILE]

The worker is the real service with the shipped policy. Beside events of 100,000 users at a steady rate, a hundred
orders a second of users who are new are sent; each makes a profile and changes. The clock runs from the time stamp
that the message has in Kafka. Every pair of rate and commit interval has a worker of its own. Cores are what worker and
store took meanwhile, the store also for those who look.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import redis
from confluent_kafka import Consumer, Producer

from benchmarks.end_to_end import cpu_seconds_of, wait_for
from benchmarks.generator import events
from benchmarks.record import save_record
from flows.dev.generator import ORDERS, Message
from flows.dev.load import Loader
from flows.dev.stack import CHANGES, PREFIX, Stack
from sinks.keyspace import Keyspace

USERS = 100_000
PROBE_S = 0.01
LOOK_S = 0.01
"""How often is looked: a look asks for each order that is not seen yet, which every millisecond took a whole core."""
WARM_UP_S = 4.0
PATIENCE_S = 30.0
SHARES = (50, 99, 99.9)


class Probes:
    """Orders of users nobody has seen, and when each was seen in Redis and on the change topic."""

    def __init__(self, bootstrap: str, url: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 0, "partitioner": "murmur2_random"}
        )
        reading = {"group.id": "latency", "auto.offset.reset": "latest", "fetch.wait.max.ms": 10}
        membership = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
        self._subscriber = Consumer({"bootstrap.servers": bootstrap, **reading, **membership})
        self._subscriber.subscribe([CHANGES])
        self._store, self._keys = redis.Redis.from_url(url), Keyspace(PREFIX)
        self._sent_s: dict[bytes, float] = {}
        self.visible_s: dict[bytes, float] = {}
        self.published_s: dict[bytes, float] = {}

    def join(self) -> None:
        """Wait until the subscriber has its partitions."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._subscriber.assignment() and time.monotonic() < give_up_s:
            self._subscriber.consume(1, 0.1)
        self._subscriber.consume(1_000_000, 1.0)

    def run(self, seconds: float) -> None:
        """Send for so long, then wait until everything was seen."""
        started_s, number = time.monotonic(), 0
        while (elapsed_s := time.monotonic() - started_s) < seconds + PATIENCE_S:
            if elapsed_s < seconds and elapsed_s >= number * PROBE_S:
                self._send(number)
                number += 1
            self._look()
            if elapsed_s >= seconds and len(self.published_s) == len(self.visible_s) == number:
                break
            time.sleep(LOOK_S)
        self._producer.flush()
        self._subscriber.close()
        missing = number - len(self.published_s)
        assert not missing, f"{missing} of {number} orders were not seen after {PATIENCE_S} s"

    def _send(self, number: int) -> None:
        now_s = time.time()
        user, at_ms = f"probe{number}", round(now_s * 1000)
        event = {"event_id": f"p{number}", "user_id": user, "type": "order_paid", "event_time": at_ms}
        order = {"order_id": f"po{number}", "amount": "100.00"}
        self._producer.produce(ORDERS, key=user, value=json.dumps(event | order).encode(), timestamp=at_ms)
        self._producer.poll(0)
        self._sent_s[user.encode()] = now_s

    def _look(self) -> None:
        hidden = [user for user in self._sent_s if user not in self.visible_s]
        pipe = self._store.pipeline(transaction=False)
        for user in hidden:
            pipe.exists(self._keys.user(user))
        found, now_s = pipe.execute(), time.time()
        for user, is_there in zip(hidden, found, strict=True):
            if is_there:
                self.visible_s[user] = now_s - self._sent_s[user]
        for message in self._subscriber.consume(10_000, 0):
            user = message.key() or b""
            if user in self._sent_s and user not in self.published_s:
                self.published_s[user] = time.time() - self._sent_s[user]


def measure(rate: int, interval_ms: int, seconds: float) -> dict[str, Any]:
    """Answer the milliseconds in which so many percent of the orders were seen."""
    with Stack(overrides={"commit_interval": f"{interval_ms}ms"}) as stack:
        processes = {"worker": stack.start_worker().pid, "store": stack.valkey.pid}
        warm = Loader(stack.kafka.bootstrap, events(2 * USERS, USERS, time.time_ns() // 1_000_000)).run()
        wait_for(stack, PREFIX, warm)
        probes = Probes(stack.kafka.bootstrap, stack.valkey.url)
        probes.join()
        load = [
            sys.executable,
            "-m",
            "benchmarks.latency",
            "--load",
            stack.kafka.bootstrap,
            "--rates",
            str(rate),
        ]
        load += ["--seconds", str(seconds + 2 * WARM_UP_S)]
        with subprocess.Popen(load, stdout=subprocess.PIPE, text=True) as loading:
            assert loading.stdout is not None
            loading.stdout.readline()  # Its events are made; it begins.
            time.sleep(WARM_UP_S)
            started_s, cpu_s = (
                time.monotonic(),
                {name: cpu_seconds_of(pid) for name, pid in processes.items()},
            )
            probes.run(seconds)
            cores = {
                f"{name}_cores": round(
                    (cpu_seconds_of(pid) - cpu_s[name]) / (time.monotonic() - started_s), 2
                )
                for name, pid in processes.items()
            }
            paced = json.loads(loading.communicate()[0])
    return {
        "rate": round(paced["rate"]),
        "interval_ms": interval_ms,
        "orders": len(probes.visible_s),
        **cores,
        "visible_ms": percentiles(probes.visible_s),
        "published_ms": percentiles(probes.published_s),
    }


def percentiles(seconds: dict[bytes, float]) -> dict[str, float]:
    """Answer the milliseconds that so many percent took at most."""
    found = np.percentile(np.array(list(seconds.values())) * 1e3, SHARES)
    return {f"p{share:g}": round(float(one), 1) for share, one in zip(SHARES, found, strict=True)}


def send_load(bootstrap: str, rate: int, seconds: float) -> None:
    """Send events at a rate, made beforehand; print when it begins, and what the rate was."""
    made = list(stamped(round(rate * seconds)))
    print("ready", flush=True)
    started_s = time.monotonic()
    # Kafka's time is the one of sending: a stream that looks old is gathered for, and waited for by orders.
    live = (message._replace(ingest_time_ms=time.time_ns() // 1_000_000) for message in made)
    count = Loader(bootstrap, live, rate).run()
    print(json.dumps({"rate": count / (time.monotonic() - started_s)}))


def stamped(count: int) -> Iterator[Message]:
    """Make events with ids of their own: those of the warm-up are known."""
    for message in events(count, USERS, time.time_ns() // 1_000_000):
        value = message.value or b""
        yield message._replace(value=value.replace(b'"event_id":"e', b'"event_id":"f'))


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rates", type=int, nargs="+", default=[1_000, 50_000], help="events a second")
    options.add_argument("--intervals", type=int, nargs="+", default=[250], help="commit intervals in ms")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--save", type=Path)
    options.add_argument("--load", metavar="BOOTSTRAP", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.load:
        send_load(chosen.load, chosen.rates[0], chosen.seconds)
        return
    found = []
    for rate in chosen.rates:
        for interval_ms in chosen.intervals:
            one = measure(rate, interval_ms, chosen.seconds)
            print(
                f"{one['rate']:,} events/s, commits every {interval_ms} ms: in Redis after {one['visible_ms']} ms,"
                f" on the change topic after {one['published_ms']} ms; cores: worker {one['worker_cores']},"
                f" store {one['store_cores']}"
            )
            found.append(one)
    save_record(chosen.save, {"runs": found})


if __name__ == "__main__":
    main()
