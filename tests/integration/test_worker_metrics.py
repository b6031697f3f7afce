"""This file reads the metrics of a whole worker and holds them to what was sent and what came out."""

import re
import urllib.request

from tests.integration.bench import Bench, now_ms
from tests.integration.outcome import story
from tests.integration.worker_process import WorkerProcess

OLD, NEW = 600, 300


class Scrape:
    """The metrics of a worker at one moment."""

    def __init__(self, worker: WorkerProcess, prefix: str) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{worker.port}/metrics", timeout=5) as answer:
            self.text: str = answer.read().decode()
        self._prefix = re.sub(r"\W", "_", prefix)

    def values(self, name: str) -> list[float]:
        """List the samples of a metric."""
        found = re.findall(rf"^{self._prefix}_{name}(?:{{.*}})? (\S+)$", self.text, re.M)
        return [float(value) for value in found]


def test_worker_metrics__say_what_was_done_and_when(bench: Bench) -> None:
    """Each message is once in the histogram, with an age between its timestamp and now; nothing is left behind."""
    started_ms = now_ms()
    partitions = bench.topics.partitions
    places = partitions * len(bench.inputs)
    messages = story(events=OLD + NEW, users=80, seed=51)
    with WorkerProcess(bench.settings) as worker:

        def scrape_of(count: int) -> Scrape:
            bench.wait_done(worker, count)
            worker.wait_until(lambda: worker.metric("event_to_visible_seconds_count") == count)
            worker.wait_until(lambda: Scrape(worker, bench.prefix).values("lag_seconds") == [0] * places)
            return Scrape(worker, bench.prefix)

        bench.sender.send(messages[:OLD])
        before = scrape_of(len(messages[:OLD]))
        bench.sender.send([one._replace(ingest_time_ms=now_ms()) for one in messages[OLD:]])
        after = scrape_of(len(messages))
        ended_ms = now_ms()
        assert worker.stop() == 0
    (sum_before,), (sum_after,) = (one.values("event_to_visible_seconds_sum") for one in (before, after))
    assert 0 < sum_after - sum_before < (len(messages) - OLD) * (ended_ms - started_ms) / 1000
    assert sum(after.values("messages_consumed_total")) == len(messages)
    assert after.values("lag_messages") == after.values("lag_seconds") == [0] * places
    assert after.values("input_partitions") == after.values("owned_partitions") == [partitions]
    assert after.values("outbox_oldest_seconds") == [0] * partitions
    assert after.values("partition_stopped") == [0] * places
    commits = after.values("last_commit_timestamp_seconds")
    assert len(commits) == partitions
    assert all(started_ms <= 1000 * at <= ended_ms for at in commits)
    changes = sum(after.values("ladder_changes_total"))
    assert sum(after.values("ladder_transitions_total")) == changes > 0
    users = len(list(bench.store.scan_iter(f"{bench.prefix}:user:*", count=1_000)))
    assert sum(after.values("users_new_total")) == users > 0
    assert len(after.values("deadlines_behind")) == partitions
    assert len(after.values("store_behind_seconds")) == 1
