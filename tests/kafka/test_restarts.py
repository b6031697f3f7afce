"""Tests of a broker that ends under load and comes back with its data."""

import random
import time

from scoring.policy import Policy
from tests.integration.bench import Bench, Load
from tests.integration.outcome import DAY_MS, assert_same, expected, story
from tests.integration.worker_process import WorkerProcess
from tests.kafka.broker import ApacheKafka

KILLS = 3
EVENTS = 4_000
SPAN_MS = DAY_MS // 2
"""
Messages must be of today: a broker that comes back after a crash forgets the producers whose newest message
is older than producer.id.expiration.ms, a day, and so takes what they send once more for new.
"""


def test_worker__outlives_a_broker_that_is_killed(
    one_topic: Bench, kafka: ApacheKafka, policy: Policy, load: Load
) -> None:
    """kill -9 of the broker under load costs nothing: nothing lost, nothing twice, no gap, no repeat."""
    moments = random.Random(34)
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_ready()
        now_ms = time.time_ns() // 1_000_000
        shop = story(events=EVENTS, users=300, seed=34, start_ms=now_ms - SPAN_MS, span_ms=SPAN_MS)
        load.start(shop, seconds=10)
        for kill in range(KILLS):
            reached = EVENTS * kill // (KILLS + 1)
            worker.wait_until(lambda reached=reached: load.count > reached < one_topic.written())
            time.sleep(moments.uniform(0.0, 0.5))
            kafka.kill()
            kafka.start()
        one_topic.wait_done(worker, load.finish())
        assert "event=stage.failed" not in worker.log
        assert worker.stop() == 0
    one_topic.assert_each_once(policy)


def test_worker__waits_for_a_broker_that_is_away_at_start(
    one_topic: Bench, kafka: ApacheKafka, policy: Policy
) -> None:
    """A worker that is started while the broker is down begins when it comes up."""
    count = one_topic.sender.send(story(events=600, users=80, seed=35))
    kafka.stop()
    with WorkerProcess(one_topic.settings) as worker:
        worker.wait_until(lambda: "event=broker.awaited" in worker.log)
        assert (worker.answers("/live"), worker.answers("/ready")) == (200, 503)
        kafka.start()
        one_topic.wait_done(worker.wait_ready(), count)
        assert worker.stop() == 0
    assert_same(one_topic.observed(), expected(policy, one_topic.sender))
