"""Tests of the limit on dead letters: when it stops a topic partition, and what is taken then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.clock import SystemClock
from flows.dead_letter_limit import Bounds, DeadLetterLimit, Recent
from flows.decode import Decode
from flows.items import AtEnd, Claimed, RawBatch, Released
from flows.measure import Measure
from flows.progress import Progress
from scoring.decoder import Decoder
from scoring.events import EventBatch, bare
from sinks.claim import Claim
from tests.unit.policies import shop_policy

TOPICS = ("clickstream", "orders")
BOUNDS = Bounds(rubbish_max=2, window=6, in_a_row=4)
NOW_MS = 1_788_220_800_000
GOOD = b'{"event_id":"e","user_id":"u","type":"page_view","event_time":1788220800000}'
LATER = GOOD.replace(b"17", b"19")
RUBBISH = (b"no json", b"{}", b"[]")


def first_stop(flags: list[bool], bounds: Bounds) -> int | None:
    """Say it slowly: the first message with too many in its window, or too many in a row up to it."""
    for n in range(1, len(flags) + 1):
        window, row = flags[max(0, n - bounds.window) : n], flags[max(0, n - bounds.in_a_row) : n]
        if len(window) == bounds.window and sum(window) > bounds.rubbish_max:
            return n - 1
        if len(row) == bounds.in_a_row and all(row):
            return n - 1
    return None


@given(
    st.lists(st.lists(st.booleans(), max_size=9), max_size=9),
    st.builds(Bounds, st.integers(1, 6), st.integers(6, 9), st.integers(1, 6)),
)
def test_recent__stops_at_the_same_message_however_it_is_cut(cuts: list[list[bool]], bounds: Bounds) -> None:
    """The message that passes a bound is that of the slow definition, for any batches."""
    recent, found, before = Recent(bounds), None, 0
    for cut in cuts:
        if stop := recent.take(np.array(cut, np.bool_)):
            found = before + stop.row
            break
        before += len(cut)
    assert found == first_stop([flag for cut in cuts for flag in cut], bounds)


def test_bounds__are_five_percent_of_ten_thousand_or_a_thousand_in_a_row() -> None:
    """A stream may begin with 999 bad messages, and one in twenty may be bad; one more may not."""
    burst = np.zeros(20_000, np.bool_)
    burst[:999] = True
    assert Recent(Bounds()).take(burst[:9_000]) is None
    assert Recent(Bounds()).take(np.ones(5_000, np.bool_)) == (999, "1000 in a row")
    even = np.arange(30_000) % 20 == 0
    assert Recent(Bounds()).take(even) is None
    even[20_001] = True
    assert Recent(Bounds()).take(even) == (20_001, "501 of the last 10000")


@pytest.fixture
def progress() -> Progress:
    """Give what the stages tell the source."""
    return Progress(SystemClock())


@pytest.fixture
def measure(progress: Progress) -> Measure:
    """Give what feeds the metrics."""
    return Measure(shop_policy(), "tierwise", progress, SystemClock())


@pytest.fixture
def decode(progress: Progress, measure: Measure) -> Decode:
    """Give a decode stage with a low limit that owns two shards."""
    stage = Decode(Decoder(shop_policy(), 300_000), DeadLetterLimit(TOPICS, progress, measure, BOUNDS))
    stage([claimed(progress, 0), claimed(progress, 1)])
    return stage


def claimed(progress: Progress, partition: int, **offsets: int) -> Claimed:
    """Claim a shard, as the membership does."""
    claim = Claim(partition, "token", 1, offsets, {}, None, None, None, ())
    progress.claimed(partition, [offsets.get(topic) for topic in TOPICS])
    return Claimed(claim)


def raw(*values: bytes, partition: int = 0, topic: int = 0, first: int = 0) -> RawBatch:
    """Make a batch as it was read."""
    count = len(values)
    return RawBatch(
        partition, topic, list(values), np.arange(first, first + count), np.full(count, NOW_MS), bare
    )


def stopped(measure: Measure) -> list[tuple[str, str]]:
    """List shard and topic of what the metrics call stopped."""
    (family,) = [one for one in measure.registry.collect() if one.name == "tierwise_partition_stopped"]
    return [(one.labels["shard"], one.labels["topic"]) for one in family.samples if one.value]


def test_decode__takes_up_to_the_message_that_passes_the_bound(
    decode: Decode, progress: Progress, measure: Measure, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies behind is not taken, now or later, nor is its end told; other topic partitions go on."""
    (batch,) = decode([raw(GOOD, *RUBBISH, b"", GOOD, GOOD, first=7)])
    assert isinstance(batch, EventBatch)
    assert (len(batch), batch.offset.tolist(), len(batch.details)) == (5, [7, 8, 9, 10, 11], 4)
    assert progress.stopped == {(0, 0): 12}
    assert stopped(measure) == [("0", "clickstream")]
    line = capsys.readouterr().err
    assert "level=error event=partition.stopped" in line
    assert (
        'topic=clickstream partition=0 next_offset=12 cause="4 in a row were not_json, missing_field, '
        in line
    )
    assert "tierwise run --accept-dead-letters" in line

    assert decode([raw(GOOD, first=14), AtEnd(0, 0, 99)]) == []
    others = [raw(GOOD, topic=1), raw(GOOD, partition=1), AtEnd(0, 1, 99), AtEnd(1, 0, 99)]
    assert len(decode(others)) == 4


def test_decode__counts_no_other_dead_letters(decode: Decode, progress: Progress) -> None:
    """Messages from the future, or out of range, say nothing of a broken sender."""
    negative = GOOD[:-1] + b',"amount":-1}'
    (batch,) = decode([raw(*[LATER, negative] * 10)])
    assert len(batch) == 20
    assert progress.stopped == {}


def test_decode__counts_anew_with_each_claim(decode: Decode, progress: Progress, measure: Measure) -> None:
    """A stop outlives a rebalance that nobody used to read on, and no other; a store that went back ends it."""
    stop = [raw(b"", b"", b"", b"", GOOD, first=5)]
    decode(stop)
    decode([Released(0)])
    assert stopped(measure) == []
    decode([claimed(progress, 0, clickstream=9)])
    assert stopped(measure) == [("0", "clickstream")]
    assert decode([raw(GOOD, first=9)]) == []
    for offset in (7, 30):
        decode([claimed(progress, 0, clickstream=offset)])
        assert stopped(measure) == []
        (batch,) = decode([raw(b"", b"", b"", first=offset)])
        assert len(batch) == 3
        (batch,) = decode([raw(b"", GOOD, first=offset + 3)])
        assert len(batch) == 1


def test_decode__without_a_limit_takes_everything() -> None:
    """The limit is off by default: then rubbish without end is set aside."""
    (batch, end) = Decode(Decoder(shop_policy(), 300_000), None)([raw(*[b""] * 2_000), AtEnd(0, 0, 99)])
    assert (len(batch), end) == (2_000, AtEnd(0, 0, 99))
