"""Tests of input topics that get more partitions: keyed users would move, so the worker ends before they mix."""

import pytest

from tests.integration.bench import Bench
from tests.integration.outcome import story
from tests.integration.worker_process import WorkerProcess
from tests.topic_admin import grow

SHOP = story(events=400, users=60, seed=32)


def ended(worker: WorkerProcess, code: int = 1) -> str:
    """Wait for a worker that must end by itself; answer the one line of its log that says why."""
    assert worker.wait_end() == code
    (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
    return line


def test_worker__ends_when_all_its_topics_grow(bench: Bench) -> None:
    """Growth under a running worker ends it with both numbers and `rekey`, and so does every later start."""
    count = bench.sender.send(SHOP)
    with WorkerProcess(bench.settings) as worker:
        bench.wait_done(worker.wait_ready(), count)
        for topic in bench.inputs:
            grow(bench.kafka.bootstrap, topic, 6)
        line = ended(worker)
        assert "has 6 partitions, had 4 when its users were scored" in line
        assert "tierwise rekey" in line
    with WorkerProcess(bench.settings) as worker:
        assert "has 6 partitions, had 4 when its users were scored" in ended(worker)
    assert set(bench.store.keys(f"{bench.prefix}:shard:*:rows")) == {
        f"{bench.prefix}:shard:{{{number:02d}}}:rows".encode() for number in range(4)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_worker__ends_when_one_of_its_topics_grows(bench: Bench, workers: int) -> None:
    """Topics of unequal numbers of partitions end every worker while it runs, and refuse its start with code 2."""
    count = bench.sender.send(SHOP)
    with WorkerProcess(bench.settings, "first") as first, WorkerProcess(bench.settings, "second") as second:
        both = (first, second)[:workers]
        if workers == 1:
            second.kill()
        first.wait_until(lambda: [one.owned() for one in both] == [4 // workers] * workers)
        bench.wait_done(first, count)
        grow(bench.kafka.bootstrap, bench.topics.orders, 6)
        for worker in both:
            line = ended(worker)
            assert "partitions" in line
            assert "tierwise rekey" in line
    with WorkerProcess(bench.settings) as worker:
        assert f"{bench.topics.clickstream} has 4, {bench.topics.orders} has 6" in ended(worker, code=2)
