"""Tests of the order in which partitions are copied."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from flows.hop.merge import WAITING_SIZE_MAX, Merge


@dataclass(frozen=True)
class Piece:
    """What of a Kafka message the merge asks for."""

    place: int
    time_ms: int
    size: int = 100

    def partition(self) -> int:
        """Give the partition."""
        return self.place

    def timestamp(self) -> tuple[int, int]:
        """Give the kind of timestamp and the time."""
        return 1, self.time_ms

    def __len__(self) -> int:
        return self.size


times = st.lists(st.integers(-1, 50), max_size=8)


@given(st.lists(times.map(sorted), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_merge__hands_sorted_partitions_over_by_time(partitions: list[list[int]], rng) -> None:
    """However the partitions arrive, all comes out, oldest first."""
    merge = Merge()
    merge.begin(range(len(partitions)), 0)
    left = {number: list(held) for number, held in enumerate(partitions)}
    taken: list[Piece] = []
    while left:
        number = rng.choice(sorted(left))
        if left[number]:
            merge.add(Piece(number, left[number].pop(0)))
        else:
            merge.end(number)
            del left[number]
        taken += merge.take(0)
    assert [piece.time_ms for piece in taken] == sorted(time_ms for held in partitions for time_ms in held)
    assert merge.drained() == set(range(len(partitions)))


@given(st.lists(times, min_size=1, max_size=4))
def test_merge__keeps_the_order_of_each_partition(partitions: list[list[int]]) -> None:
    """Timestamps that are out of order within a partition do not change its order."""
    merge = Merge()
    merge.begin(range(len(partitions)), 0)
    for number, held in enumerate(partitions):
        for time_ms in held:
            merge.add(Piece(number, time_ms))
        merge.end(number)
    taken = merge.take(0)
    for number, held in enumerate(partitions):
        assert [piece.time_ms for piece in taken if piece.place == number] == held


def test_merge__waits_for_a_partition_but_not_for_ever() -> None:
    """A partition that is not heard of holds the others up, until its time is over."""
    merge = Merge(hold_ms=1_000)
    merge.begin([0, 1], 0)
    merge.add(Piece(0, 5))
    assert merge.take(999) == []
    assert merge.take(1_000) == [Piece(0, 5)]


def test_merge__waits_again_for_a_partition_that_ran_dry() -> None:
    """Its last message handed over, a partition is waited for unless it said that it is at its end."""
    merge = Merge()
    merge.begin([0, 1], 0)
    merge.add(Piece(0, 5))
    merge.add(Piece(0, 9))
    merge.add(Piece(1, 1))
    assert merge.take(0) == [Piece(1, 1)]
    merge.add(Piece(1, 7))
    merge.end(1)
    assert merge.take(0) == [Piece(0, 5), Piece(1, 7), Piece(0, 9)]
    for time_ms in (20, 30):
        merge.add(Piece(0, time_ms))
    merge.add(Piece(1, 10))
    assert merge.take(0) == [Piece(1, 10)]


def test_merge__forgets_what_it_had_at_a_new_beginning() -> None:
    """After an assignment only what is read since is handed over."""
    merge = Merge()
    merge.begin([0], 0)
    merge.add(Piece(0, 5))
    merge.begin([0], 0)
    assert merge.take(10_000) == []
    assert merge.drained() == set()


def test_merge__bounds_what_waits() -> None:
    """A partition far ahead of another is named until half of what it has has gone."""
    merge = Merge()
    merge.begin([0, 1], 0)
    for time_ms in range(101):
        merge.add(Piece(0, time_ms, WAITING_SIZE_MAX // 200))
    assert merge.far_ahead() == {0}
    for first in (0, 30):
        merge.add(Piece(1, first))
        merge.take(0)
        assert merge.far_ahead() == {0}
    merge.add(Piece(1, 60))
    merge.take(0)
    assert merge.far_ahead() == set()
