"""Workers that are killed at random moments. This file holds them to the reference."""

import os
import random
import time

from scoring.policy import Policy
from tests.integration.bench import Bench, Load
from tests.integration.outcome import assert_same, expected, story
from tests.integration.worker_process import WorkerProcess

KILLS = int(os.environ.get("TIERWISE_TEST_KILLS", "15"))
"""In each of the two tests."""


def test_worker__survives_kills(one_topic: Bench, policy: Policy, load: Load) -> None:
    """After kill -9 at random moments under load everything is as if nothing had happened."""
    moments = random.Random(14)
    load.start(story(events=6_000, users=400, seed=14), seconds=4.0 * KILLS)
    for _ in range(KILLS):
        with WorkerProcess(one_topic.settings) as worker:
            before = one_topic.written()
            worker.wait_ready()
            worker.wait_until(lambda before=before: one_topic.written() > before or load.count == 6_000)
            time.sleep(moments.uniform(0.0, 0.6))
            worker.kill()
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        one_topic.wait_done(worker, load.finish())
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))


def test_worker__survives_kills_with_two_topics(bench: Bench, policy: Policy) -> None:
    """However often a worker is killed on its way through a backlog, the order of two topics stays."""
    moments = random.Random(17)
    count = bench.sender.send(story(events=8_000, users=1_500, seed=17))
    settings = bench.write(commit_interval="20ms")
    for _ in range(KILLS):
        with WorkerProcess(settings) as worker:
            worker.wait_ready()
            wanted = bench.writes() + moments.randint(1, 6)
            worker.wait_until(lambda wanted=wanted: bench.writes() >= wanted or bench.written() == count)
            worker.kill()
    with WorkerProcess(settings) as worker:
        worker.wait_ready()
        bench.wait_done(worker, count)
        assert worker.stop() == 0
    assert_same(bench.observed(), expected(policy, bench.sender))
