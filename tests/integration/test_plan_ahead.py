"""Tests of the score stage on a real store: when it makes ready what is to be written next."""

import json

import numpy as np
import pytest

import flows.score
from flows.items import AtEnd, Claimed, Decoded, Due, Scored, Tick
from flows.load import ShardLoader
from flows.measure import Measure
from flows.progress import WRITING_MAX_MS, Progress
from flows.score import LOOK_MS, Score
from scoring.decoder import Decoder
from scoring.events import EventBatch
from scoring.policy import Policy
from scoring.shard import Shard
from sinks.shard_store import ShardStore
from tests.integration.shard_writes import PARTITION, TOPICS

NOW_MS = 1_788_220_800_000
LARGE = 50
IDLE_AFTER_MS = 10_000
OTHER = 3


class HandClock:
    """Tell the time that a test has set."""

    now_ms = 0

    def wall_ms(self) -> int:
        """Give the Unix time."""
        return NOW_MS + self.now_ms

    def monotonic_ms(self) -> int:
        """Give a time to measure durations with."""
        return self.now_ms


class Stage:
    """The score stage of a worker that owns two shards, and what its writer says."""

    def __init__(
        self, shards: ShardStore, policy: Policy, prefix: str, idle_after_ms: int | None = None
    ) -> None:
        self.clock = HandClock()
        self.progress = Progress(self.clock)
        self._decoder = Decoder(policy, 0)
        self._offset = 0
        loader = ShardLoader(
            policy, TOPICS, allowed_lateness_ms=0, out_of_orderness_ms=0, duplicates_per_user=10
        )
        self._score = Score(
            shards,
            loader,
            self.progress,
            self.clock,
            Measure(policy, prefix, self.progress, self.clock),
            topic_count=len(TOPICS),
            idle_after_ms=idle_after_ms,
            out_of_orderness_ms=0,
        )
        for partition in (PARTITION, OTHER):
            self.progress.claimed(partition, [None] * len(TOPICS))
            self.tick(Claimed(shards.claim(partition)))

    def tick(self, *items: Decoded, after_ms: int = 0) -> list[int]:
        """Let time pass, feed items, and answer the shards of which a plan was made; the writer is given all."""
        self.clock.now_ms += after_ms
        due: list[Due] = self._score([*items, Tick(self.clock.wall_ms())])
        planned = [item.plan.partition for item in due if isinstance(item, Scored)]
        if planned:  # The writer is done at once with the rest.
            self.progress.hand_over(len(planned))
        return planned

    def visits(self, users: int, partition: int = PARTITION) -> tuple[Decoded, ...]:
        """Let each of so many users look at something; nothing more is to be read behind it."""
        offsets = np.arange(self._offset, self._offset + users)
        self._offset += users
        values = [
            json.dumps(
                {"event_id": f"e{at}", "user_id": f"u{at % users}", "type": "page_view", "event_time": NOW_MS}
            ).encode()
            for at in offsets.tolist()
        ]
        batch = self._decoder.decode(partition, 0, values, offsets, np.full(users, NOW_MS))
        assert isinstance(batch, EventBatch)
        return batch, AtEnd(partition, 0, self._offset), AtEnd(partition, 1, 0)


@pytest.fixture
def stage(shards: ShardStore, policy: Policy, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Make the stage; a few users are many."""
    monkeypatch.setattr(flows.score, "LARGE_USERS", LARGE)
    return Stage(shards, policy, prefix)


def test_plan__waits_while_the_writer_is_at_the_one_before(stage: Stage) -> None:
    """Users of more events share a write: what changes meanwhile gathers, and reading goes on."""
    assert stage.tick(*stage.visits(2 * LARGE)) == [PARTITION]
    stage.progress.begin_writing()
    assert stage.tick(*stage.visits(2 * LARGE), after_ms=WRITING_MAX_MS) == []
    stage.progress.end_writing(has_more=False)
    assert stage.tick() == [PARTITION]


def test_plan__is_made_ahead_where_it_is_large_and_nothing_is_read(stage: Stage) -> None:
    """The store has work at once when it is done with the former; one plan ahead is enough for that."""
    assert stage.tick(*stage.visits(2 * LARGE)) == [PARTITION]
    stage.progress.begin_writing()
    small = stage.visits(1, OTHER)
    assert stage.tick(*stage.visits(2 * LARGE), *small, after_ms=WRITING_MAX_MS + 1) == [PARTITION]
    assert stage.tick(*stage.visits(2 * LARGE)) == []
    stage.progress.end_writing(has_more=True)
    stage.progress.begin_writing()
    assert stage.tick() == []
    assert stage.tick(after_ms=WRITING_MAX_MS + 1) == [PARTITION]
    stage.progress.end_writing(has_more=True)
    stage.progress.begin_writing()
    stage.progress.end_writing(has_more=False)
    assert stage.tick() == [OTHER]


def test_users__stay_while_their_shard_has_a_plan_on_its_way(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leaves memory is read back from the store: it must have everything first, of this shard alone."""
    asked: list[int] = []
    monkeypatch.setattr(Shard, "let_go", lambda shard: asked.append(shard.partition) or 0)
    assert stage.tick(*stage.visits(2 * LARGE)) == [PARTITION]
    stage.progress.begin_writing()
    asked.clear()
    stage.tick(*stage.visits(2 * LARGE), after_ms=LOOK_MS)
    assert asked == [OTHER]
    stage.progress.end_writing(has_more=True)
    stage.progress.begin_writing()  # With the plan that was made ahead.
    stage.tick(after_ms=LOOK_MS)
    assert asked == [OTHER] * 2
    stage.progress.end_writing(has_more=False)
    stage.tick()
    assert asked == [OTHER, OTHER, PARTITION, OTHER]


@pytest.mark.parametrize("why", ["a long commit", "a full outbox"])
def test_silence__is_not_counted_while_nothing_is_read(
    shards: ShardStore, policy: Policy, prefix: str, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Who bought what waits unread must not fall meanwhile, by the clock; silence counts from the next read on."""
    stage = Stage(shards, policy, prefix, IDLE_AFTER_MS)
    fired: list[int] = []
    monkeypatch.setattr(Shard, "fire", lambda _, watermark_ms: fired.append(watermark_ms))
    stage.tick(*stage.visits(1))
    if why == "a full outbox":
        stage.progress.end_writing(has_more=False)
        stage.progress.is_outbox_full = True
    else:
        stage.progress.begin_writing()
    stage.tick(after_ms=IDLE_AFTER_MS + 1)
    stage.progress.end_writing(has_more=False)
    stage.progress.is_outbox_full = False
    stage.tick(after_ms=IDLE_AFTER_MS - 1)
    assert fired == []
    stage.tick(after_ms=1)
    assert fired == [stage.clock.wall_ms()]
