"""Test of a worker behind `tierwise rekey`: topics that were keyed wrongly are scored like any others."""

import random
from typing import Any

from confluent_kafka import Producer

from flows.dev.embedded import KafkaServer, create_topics
from flows.dev.generator import Message
from scoring.events import Reason
from scoring.policy import Policy
from tests.integration.bench import Bench, Place
from tests.integration.outcome import assert_same, expected, read_all, story
from tests.integration.rekey_process import HopProcess
from tests.integration.worker_process import WorkerProcess
from tests.reference import Reference


def test_rekey__worker_scores_topics_that_were_keyed_wrongly(
    place: Place, kafka: KafkaServer, prefix: str, policy: Policy
) -> None:
    """Two topics of unequal numbers of partitions, every event anywhere: copied, they are scored like any others."""
    raw, keyed = [f"{prefix}.c", f"{prefix}.o"], (f"{prefix}.c.keyed", f"{prefix}.o.keyed")
    bench = Bench(*place, keyed)
    create_topics(kafka.bootstrap, raw[:1], 3)
    create_topics(kafka.bootstrap, raw[1:], 5)
    messages = story(events=2_500, users=250, seed=23)
    settings = {"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer(settings)
    rng = random.Random(23)
    for one in messages:
        topic, partitions = rng.choice([(raw[0], 3), (raw[1], 5)])
        producer.produce(
            topic, value=one.value, partition=rng.randrange(partitions), timestamp=one.ingest_time_ms
        )
    assert producer.flush(30) == 0
    for source, target, options in ((raw[0], keyed[0], ["--partitions", "4"]), (raw[1], keyed[1], [])):
        with HopProcess(
            "rekey", bench.settings, "--from", source, "--to", target, "--until-end", *options
        ) as process:
            assert process.wait_end() == 0, process.log
    copied = [read_all(kafka, topic) for topic in keyed]
    assert sum(map(len, copied)) == len(messages)
    for index, held in enumerate(copied):
        for one in held:
            known = bench.sender.sent[one.partition()][index]
            known.append((len(known), one.value(), one.timestamp()[1]))
    with WorkerProcess(bench.settings) as worker:
        worker.wait_ready()
        worker.wait_until(lambda: worker.metric("messages_consumed_total") == len(messages))
        worker.wait_until(lambda: bench.outbox() == 0)
        assert worker.stop() == 0
    observed = bench.observed()
    assert_same(observed, expected(policy, bench.sender))
    assert Reason.TOO_LATE.label not in observed.dead_letters.values()
    assert money_of(observed.profiles) == money_of(as_if_never_spread(policy, messages))


def as_if_never_spread(policy: Policy, messages: list[Message]) -> dict[str, Any]:
    """Give the profiles of one shard that reads one topic in the order of sending."""
    reference = Reference(policy, 1, 0)
    for offset, one in enumerate(messages):
        reference.message(0, offset, one.value, one.ingest_time_ms)
    return {user_id: reference.profile(user_id) or {} for user_id in reference.users}


def money_of(profiles: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Give what does not depend on the order within the lateness."""
    return {user_id: (str(one["orders"]), str(one["spend"])) for user_id, one in profiles.items()}
