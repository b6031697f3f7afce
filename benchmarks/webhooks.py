"""This file asks how many changes `tierwise webhooks` delivers, next to its HTTP client alone, in one run.

python -m benchmarks.webhooks [--count N] [--rounds N] [--concurrency N] [--save FILE]

The endpoint is a process of its own on this machine, which answers at once and notes when the first and the last
request of a round came; all three are timed by that. `service` is one process of the real service with one endpoint,
reading the change topic; `client` are as many threads as it has that do nothing but Poster.post(); `kept_open` are
threads with a connection each that stays open, which the service does not do. Rounds alternate.
"""

import argparse
import asyncio
import http.client
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.record import save_record
from config.settings import read_settings
from config.webhook_settings import Endpoint
from flows.dev.child import Child, free_port
from flows.dev.embedded import KafkaServer, create_topics, start_kafka
from flows.dev.worker_metrics import fetch_metrics
from flows.webhooks.change import Change, read_change
from flows.webhooks.request import Poster
from flows.webhooks.signing import signed_headers
from scoring.events import LadderChange
from sinks.change_topic import entry_of

TOPIC = "bench.changes"
PARTITIONS = 4
USERS = 2_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE_S = 120.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
DELIVERED = "bench_webhooks_delivered_total"


class Counting(asyncio.Protocol):
    """One connection to the endpoint: every POST is counted, and a GET is told the counts, which begin anew."""

    times: tuple[int, float, float] = (0, 0.0, 0.0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin without a byte."""
        self._transport: Any = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there as a whole."""
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, rest = self._read.partition(b"\r\n\r\n")
            _, named, length = head.lower().partition(b"\r\ncontent-length:")
            size = int(length.split(b"\r\n")[0]) if named else 0
            if len(rest) < size:
                return
            self._read = rest[size:]
            answer = self._told() if head.startswith(b"GET") else self._counted()
            self._transport.write(ANSWER % (len(answer), answer))

    def _counted(self) -> bytes:
        count, first_s, _ = Counting.times
        now_s = time.monotonic()
        Counting.times = count + 1, first_s if count else now_s, now_s
        return b""

    def _told(self) -> bytes:
        answer = json.dumps(Counting.times).encode()
        Counting.times = 0, 0.0, 0.0
        return answer


async def answer_for_ever(port: int) -> None:
    """Be the endpoint."""
    server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", port)
    await server.serve_forever()


def publish(kafka: KafkaServer, count: int) -> None:
    """Write changes of some users, each about 500 bytes, to the change topic."""
    create_topics(kafka.bootstrap, [TOPIC], PARTITIONS)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
    for number in range(count):
        change = LadderChange(
            f"u{number % USERS}", number // USERS + 1, "tier", "bronze", "silver", 0, 1, "event", f"e{number}",
            20.0, 0, 0, "gold", 30.0, 1_000, (("spend", 1.0, 20.0),), "shop@1",
        )  # fmt: skip
        entry = entry_of(change)
        producer.produce(TOPIC, key=entry.key, value=entry.value, headers=list(entry.headers))
        producer.poll(0)
    assert producer.flush(30) == 0


def read_all(kafka: KafkaServer, count: int) -> list[Change]:
    """Read what was published as the service reads it."""
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": "bench", "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(TOPIC, one, OFFSET_BEGINNING) for one in range(PARTITIONS)])
    found: list[Change] = []
    while len(found) < count:
        found += [change for one in consumer.consume(1_000, 0.5) if (change := read_change(one)) is not None]
    consumer.close()
    return found


def seen(port: int) -> tuple[int, float, float]:
    """Ask the endpoint for its counts, which begin anew."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        count, first_s, last_s = json.loads(answer.read())
        return count, first_s, last_s


def pace(port: int, count: int) -> float:
    """Answer how many requests came in a second, all of them being there."""
    found, first_s, last_s = seen(port)
    assert found == count, (found, count)
    return (count - 1) / (last_s - first_s)


def service(settings: Path, name: str, count: int) -> None:
    """Deliver all changes with one process of the service, in a group that nobody has used."""
    port = free_port()
    env = {**os.environ, "TIERWISE_HTTP__PORT": str(port), "TIERWISE_GROUP": name}
    child = Child(
        "webhooks", [sys.executable, "-m", "flows.cli", "webhooks", "--settings", str(settings)], env
    )
    try:
        child.wait_until(lambda: (fetch_metrics(port) or {}).get(DELIVERED) == count, DEADLINE_S)
    finally:
        child.stop()


def client(endpoint: Endpoint, changes: Sequence[Change]) -> None:
    """Send all changes with nothing but the service's client."""
    poster = Poster(endpoint, "bench")

    def send(change: Change) -> bool:
        return not poster.post(change.id, change.body).failure

    with ThreadPoolExecutor(endpoint.concurrency) as threads:
        assert all(threads.map(send, changes))


def kept_open(endpoint: Endpoint, changes: Sequence[Change]) -> None:
    """Send all changes over connections that stay open, one for each thread."""

    def send(part: Sequence[Change]) -> None:
        connection = http.client.HTTPConnection(endpoint.url.host, endpoint.url.port)
        for change in part:
            headers = signed_headers(endpoint.secrets, change.id, int(time.time()), change.body)
            connection.request("POST", endpoint.url.target, change.body, headers)
            connection.getresponse().read()
        connection.close()

    with ThreadPoolExecutor(endpoint.concurrency) as threads:
        list(threads.map(send, [changes[one :: endpoint.concurrency] for one in range(endpoint.concurrency)]))


def write_settings(folder: Path, kafka: KafkaServer, port: int, concurrency: int) -> Path:
    """Write the settings of the service: one endpoint, as quick as it may be."""
    endpoint = {
        "url": f"http://127.0.0.1:{port}/hook",
        "secrets": [SECRET],
        "start": "earliest",
        "allow_http": "on",
        "allow_private": ["127.0.0.0/8"],
        "rate": 10_000,
        "concurrency": concurrency,
    }
    group = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}
    content = {
        "prefix": "bench",
        "kafka": {**kafka.client_settings, **group},
        "topics": {"changes": TOPIC},
        "webhooks": {"endpoints": {"one": endpoint}},
    }
    path = folder / "webhooks.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML.
    return path


def measure(folder: Path, rounds: int, count: int, concurrency: int) -> dict[str, list[float]]:
    """Answer the pace of each way in each round."""
    found: dict[str, list[float]] = {"service": [], "client": [], "kept_open": []}
    port = free_port()
    receiver = Child("endpoint", [sys.executable, "-m", "benchmarks.webhooks", "--serve", str(port)])
    try:
        with start_kafka() as kafka:
            publish(kafka, count)
            changes, settings = read_all(kafka, count), write_settings(folder, kafka, port, concurrency)
            endpoint = read_settings(settings, {})[0].webhooks.endpoints[0]
            for number in range(rounds):
                service(settings, f"bench{number}", count)
                found["service"].append(pace(port, count))
                client(endpoint, changes)
                found["client"].append(pace(port, count))
                kept_open(endpoint, changes)
                found["kept_open"].append(pace(port, count))
    finally:
        receiver.stop()
    return found


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--count", type=int, default=5_000, help="deliveries of a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--concurrency", type=int, default=4, help="of the endpoint")
    options.add_argument("--save", type=Path)
    options.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        asyncio.run(answer_for_ever(chosen.serve))
        return
    with tempfile.TemporaryDirectory(prefix="tierwise-webhooks-") as folder:
        paces = measure(Path(folder), chosen.rounds, chosen.count, chosen.concurrency)
    shares = [ours / alone for ours, alone in zip(paces["service"], paces["client"], strict=True)]
    for name, each in paces.items():
        print(f"{name}: {median(each):,.0f} a second ({min(each):,.0f} to {max(each):,.0f})")
    print(f"share of the client alone: {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")
    rounded = {name: [round(one) for one in each] for name, each in paces.items()}
    save_record(chosen.save, {"per_s": rounded, "share_of_client": [round(one, 3) for one in shares]})


if __name__ == "__main__":
    main()
