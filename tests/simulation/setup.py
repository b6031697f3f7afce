"""What a schedule consists of. This file names how a world is made and what can happen in it."""

from typing import NamedTuple


class Setup(NamedTuple):
    """
    How a world is made.

    is_racing: topics are at their end whenever they have been read up, so the order of two of them, and what the
        clock does in silence, depend on the moment; otherwise all is a function of the topics.
    growth_moves_users: whether a new partition takes users from the others, or only gets new ones.
    ends_with_a_restore: whether the store goes back once more when everything is done, and nothing follows.
    """

    topics: int = 1
    partitions: int = 1
    users: int = 3
    workers: int = 2
    outputs: int = 2
    chunk_users: int = 1
    in_flight_max: int = 9
    is_racing: bool = False
    growth_moves_users: bool = False
    ends_with_a_restore: bool = False


class Action(NamedTuple):
    """One thing that happens, and a number from which its details follow."""

    kind: str
    number: int


KINDS = (
    "step",
    "produce",
    "land",
    "crash",
    "pause",
    "go on",
    "rebalance",
    "network",
    "deliver late",
    "snapshot",
    "restore",
    "fail",
    "grow",
)
