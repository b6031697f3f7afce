"""From a seed to a world and a schedule. This file also makes a schedule that fails as short as it can be."""

import random
from collections.abc import Callable, Sequence

from tests.simulation.checker import check
from tests.simulation.protocol import REAL, Protocol, Violation
from tests.simulation.setup import Action, Setup
from tests.simulation.world import World

NUMBER_MAX = 1 << 40
ACTIONS = 250
ALWAYS = {"step": 40, "produce": 10, "land": 6}
THEMES = {
    "doubt": {"network": 12, "go on": 15},
    "hand-over": {"pause": 5, "go on": 9, "network": 4, "deliver late": 4, "rebalance": 3, "crash": 1},
    "restore": {"snapshot": 4, "restore": 4, "fail": 2, "crash": 3, "pause": 2, "go on": 4, "network": 2},
    "relay": {"land": 4, "fail": 5, "crash": 3, "rebalance": 2, "snapshot": 3, "restore": 1},
    "growth": {
        "grow": 2,
        "crash": 1,
        "rebalance": 3,
        "pause": 2,
        "go on": 4,
        "network": 2,
        "snapshot": 1,
        "restore": 1,
    },
}


def seeds_of(theme: str, count: int) -> range:
    """List the first seeds of a theme; the themes take turns."""
    return range(list(THEMES).index(theme), len(THEMES) * count, len(THEMES))


def drawn(seed: int) -> tuple[Setup, list[Action]]:
    """Draw a world and what happens in it: the faults of the seed's theme, some more, some less or not at all."""
    dice = random.Random(seed)
    weights = dict(ALWAYS)
    for kind, weight in THEMES[list(THEMES)[seed % len(THEMES)]].items():
        weights[kind] = weights.get(kind, 0) + weight * dice.choice((0, 1, 1, 1, 2))
    if moves_users := "grow" in weights and dice.random() < 0.5:
        weights["restore"] = (
            0  # A store that forgets whose a user was may hear it from the wrong shard first.
        )
    setup = Setup(
        topics=dice.choice((1, 1, 2)),
        partitions=dice.choice((1, 1, 1, 2)),
        users=dice.choice((1, 2, 3, 3, 4)),
        workers=dice.choice((1, 1, 2, 2, 2, 2, 3)),
        outputs=dice.choice((1, 2, 2, 3)),
        chunk_users=dice.choice((1, 2)),
        in_flight_max=dice.choice((2, 5, 20)),
        is_racing=dice.random() < 0.3,
        growth_moves_users=moves_users,
    )
    kinds = dice.choices(list(weights), list(weights.values()), k=ACTIONS)
    return setup, [Action(kind, dice.randrange(NUMBER_MAX)) for kind in kinds]


def played(
    setup: Setup,
    actions: Sequence[Action],
    protocol: Protocol = REAL,
    tell: Callable[[str], None] | None = None,
) -> World:
    """Run a schedule, heal the world, and check it; raises a Violation."""
    world = World(setup, protocol, tell)
    for action in actions:
        world.act(action)
    world.heal()
    check(world)
    return world


def violation(setup: Setup, actions: Sequence[Action], protocol: Protocol) -> Violation | None:
    """Answer what a schedule breaks, if anything."""
    try:
        played(setup, actions, protocol)
    except Violation as broken:
        return broken
    return None


def shortest(setup: Setup, actions: Sequence[Action], protocol: Protocol) -> list[Action]:
    """Leave out of a schedule that breaks something whatever it does not need for that."""
    kept, size = list(actions), len(actions) // 2
    while size:
        first = 0
        while first < len(kept):
            fewer = kept[:first] + kept[first + size :]
            if violation(setup, fewer, protocol):
                kept = fewer
            else:
                first += size
        size //= 2
    return kept
