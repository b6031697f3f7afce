"""Tests of where the next offset of a topic stands, past what is no event too."""

from types import SimpleNamespace

import numpy as np

from scoring.topic_queue import TopicQueue


class Batch(SimpleNamespace):
    """As much of a batch as a queue looks at."""

    def __len__(self) -> int:
        return len(self.offset)


def add(queue: TopicQueue, *offsets: int) -> None:
    """Queue messages that stand at these offsets."""
    queue.add(Batch(offset=np.array(offsets)), np.zeros(len(offsets), np.int64))  # type: ignore[arg-type]


def test_next_offset__is_that_of_the_first_message_not_done() -> None:
    """It follows the messages that are taken, over gaps and batches, and not those that wait."""
    queue = TopicQueue()
    assert queue.next_offset is None
    add(queue, 3, 5, 9)
    add(queue, 12)
    assert queue.next_offset is None
    queue.take(1)
    assert queue.next_offset == 5
    queue.take(2)
    assert queue.next_offset == 10
    queue.take(1)
    assert queue.next_offset == 13


def test_reach__moves_on_once_nothing_waits() -> None:
    """An end behind marks of transactions counts as soon as all messages before it are done, and never back."""
    queue = TopicQueue()
    queue.next_offset = 3
    assert queue.reach(4)
    assert not queue.reach(4)
    assert not queue.reach(2)
    assert queue.next_offset == 4
    add(queue, 4, 5)
    assert not queue.reach(8)
    assert queue.next_offset == 4
    queue.take(1)
    assert queue.next_offset == 5
    queue.take(1)
    assert queue.next_offset == 8
    add(queue, 8)
    queue.take(1)
    assert queue.next_offset == 9
