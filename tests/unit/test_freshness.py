"""This file shows how old messages are said to be: when they are stored, and while they are not."""

import random

import numpy as np
import pytest

from flows.freshness import Freshness
from flows.messages import NO_TIME_MS
from flows.outbox_age import OutboxAge
from scoring.decoder import Decoder
from scoring.events import EventBatch
from tests.unit.policies import shop_policy

DECODER = Decoder(shop_policy(), 300_000)


def batch(offsets: list[int], times_ms: list[int], partition: int = 0, topic: int = 0) -> EventBatch:
    """Make a batch; what the messages say does not matter."""
    values = [b"x"] * len(offsets)
    return DECODER.decode(partition, topic, values, np.array(offsets), np.array(times_ms))


@pytest.mark.parametrize("seed", range(20))
def test_freshness__counts_each_message_once_at_its_commit(seed: int) -> None:
    """Over any batches, gaps and commits, each message of each topic is as old as its own timestamp says."""
    dice = random.Random(seed)
    freshness = Freshness()
    unread = [sorted(dice.sample(range(400), 200)) for _ in range(2)]
    times_ms = {(topic, offset): dice.randrange(1, 9_000) for topic in range(2) for offset in unread[topic]}
    waiting: list[list[int]] = [[], []]
    now_ms = 10_000
    for _ in range(60):
        now_ms += dice.randrange(50)
        for topic in range(2):
            count = dice.randrange(12)
            taken, unread[topic] = unread[topic][:count], unread[topic][count:]
            waiting[topic] += taken
            if taken:
                freshness.read(batch(taken, [times_ms[topic, one] for one in taken], topic=topic))
        ends = [dice.choice([None, *waiting[topic], 400]) for topic in range(2)]
        due = [(topic, one) for topic in range(2) for one in waiting[topic] if one < (ends[topic] or 0)]
        waiting = [[one for one in waiting[topic] if one >= (ends[topic] or 0)] for topic in range(2)]
        found = freshness.stored(0, ends, now_ms)
        assert sorted(found.tolist()) == sorted(now_ms - times_ms[one] for one in due)


def test_freshness__leaves_out_what_has_no_time_and_is_never_negative() -> None:
    """A message without a timestamp is no late one, and no early one."""
    freshness = Freshness()
    freshness.read(batch([5, 6, 7], [NO_TIME_MS, 900, 2_000]))
    assert freshness.stored(0, [8], 1_000).tolist() == [100, 0]


def test_freshness__forgets_what_is_read_again() -> None:
    """A shard that is claimed anew begins anew; another one stays."""
    freshness = Freshness()
    freshness.read(batch([0, 1], [100, 100]))
    freshness.read(batch([0], [100], partition=1))
    freshness.forget(0)
    freshness.read(batch([1], [100]))
    assert freshness.stored(0, [2], 500).tolist() == [400]
    assert freshness.stored(1, [1], 500).tolist() == [400]


def test_lag__is_the_age_of_the_first_message_that_is_not_stored() -> None:
    """What was read tells its age; of what was not, it is known since when it can be there."""
    freshness = Freshness()
    assert freshness.lag_ms(0, 0, 7, 1_000) == 0
    assert freshness.lag_ms(0, 0, 7, 1_200) == 200
    freshness.read(batch([0, 1, 2], [300, 400, 500]))
    assert freshness.lag_ms(0, 0, 7, 1_300) == 1_000
    freshness.stored(0, [1], 1_400)
    assert freshness.lag_ms(0, 0, 6, 1_400) == 1_000
    freshness.stored(0, [3], 1_500)
    assert freshness.lag_ms(0, 0, 4, 1_500) == 500
    assert freshness.lag_ms(0, 0, 0, 9_000) == 0
    assert freshness.lag_ms(0, 0, 1, 9_010) == 10


def test_outbox_age__is_that_of_the_oldest_entry_not_confirmed() -> None:
    """Ids are compared as numbers, and what another owner has is not ours to count."""
    age = OutboxAge()
    assert age.oldest_ms(3, None, 1_000) == 0
    age.add(3, "9-1", 1_000)
    age.add(3, "10-4", 1_100)
    assert age.oldest_ms(3, None, 1_200) == 200
    assert age.oldest_ms(3, "9-0", 1_200) == 200
    assert age.oldest_ms(3, "9-1", 1_200) == 100
    assert age.oldest_ms(3, "10-4", 1_200) == 0
    age.add(3, "11-0", 1_300)
    age.forget(3)
    assert age.oldest_ms(3, None, 1_400) == 0
