"""The commit protocol in thousands of worlds. This file lets them run; each failure names its seed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tests.simulation.checker import check, repeats
from tests.simulation.protocol import MUTANTS, REAL, TAIL, Protocol, Violation
from tests.simulation.seeds import THEMES, drawn, played, seeds_of, violation
from tests.simulation.setup import KINDS, Action, Setup
from tests.simulation.world import EAGER, World

SEEDS = int(os.environ.get("TIERWISE_TEST_SEEDS", "2500")) // len(THEMES)
"""Of each theme."""
MUTANT_SEEDS = 200
TAIL_SEEDS = 60
LIMIT_SEEDS = 100
EAGER_STEPS = 40

setups = st.builds(
    Setup,
    topics=st.integers(1, 2),
    partitions=st.integers(1, 2),
    users=st.integers(1, 3),
    workers=st.integers(1, 3),
    outputs=st.integers(1, 2),
    chunk_users=st.integers(1, 2),
    in_flight_max=st.sampled_from([1, 20]),
    is_racing=st.booleans(),
    growth_moves_users=st.just(False),
    ends_with_a_restore=st.just(False),
)
actions = st.builds(Action, st.sampled_from((*["step"] * 8, *["produce"] * 3, *KINDS)), st.integers(0, 2**40))
# Left to itself a list is short; the short ones are there for what a failure is made of.
schedules = st.lists(actions, max_size=40) | st.lists(actions, min_size=80, max_size=160)


@pytest.mark.parametrize("theme", THEMES)
def test_protocol__keeps_its_promises_in_every_world(theme: str) -> None:
    """Whatever happens, users are what the log makes of them, and every change comes out once and in order."""
    for seed in seeds_of(theme, SEEDS):
        broken = violation(*drawn(seed), REAL)
        assert not broken, f"seed={seed}: {broken}; see it with: python -m tests.simulation {seed}"


@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setups, schedules)
def test_protocol__keeps_its_promises_in_any_schedule(setup: Setup, schedule: Sequence[Action]) -> None:
    """The same for schedules that are searched for, always the same ones, and made short when one fails."""
    played(setup, schedule)


def test_schedules__show_a_mistake() -> None:
    """The search finds a schedule in which it matters that start offsets go last."""
    mutant = MUTANTS["start offset before the rows"]
    searched = settings(
        max_examples=2_000, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    world = st.tuples(setups, schedules)
    find(world, lambda one: violation(*one, mutant.protocol) is not None, settings=searched, random=Random(1))


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant__is_caught(name: str) -> None:
    """A protocol with one mistake breaks a promise within 200 worlds."""
    mutant = MUTANTS[name]
    for count, seed in enumerate(seeds_of(mutant.theme, MUTANT_SEEDS), 1):
        if broken := violation(*drawn(seed), mutant.protocol):
            print(f"{name}: world {count}, seed={seed}: {broken}")
            return
    pytest.fail(f"{name} was not caught in {MUTANT_SEEDS} worlds of {mutant.theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_tail__repeats_at_most_what_was_on_its_way(theme: str) -> None:
    """
    A relay that skips what its output partitions hold keeps all promises, and repeats next to nothing.

    One process at a time: what a paused owner still sends after its successor has looked comes twice.
    """
    alone = 0
    for seed in seeds_of(theme, TAIL_SEEDS):
        setup, schedule = drawn(seed)
        broken = violation(setup, schedule, TAIL)
        assert not broken, f"seed={seed}: {broken}"
        world = played(setup._replace(workers=1), schedule, TAIL)
        if not world.tally.restores:
            alone += 1
            assert repeats(world) <= world.tally.in_doubt, f"seed={seed}"
    assert alone


def test_limit__a_restore_may_give_an_id_to_another_change() -> None:
    """
    Where order or silence depend on the moment, a store that goes back may decide them anew.

    Published changes of the time that was lost then share their ids with others. Where all is a function of
    the topics this cannot be; the promises above hold it to that.
    """
    twice = 0
    for seed in seeds_of("restore", LIMIT_SEEDS):
        setup, schedule = drawn(seed)
        world = played(setup._replace(is_racing=True, topics=2), schedule)
        first: dict[str, tuple[str, ...]] = {}
        for output in world.outputs.partitions:
            for _, entry in output:
                twice += first.setdefault(entry.name, entry.content) != entry.content
    assert twice


@pytest.mark.parametrize(
    ("protocol", "is_seen"), [(replace(REAL, looks_when_quiet=False), False), (REAL, True)]
)
def test_look__sees_a_restore_in_silence(protocol: Protocol, is_seen: bool) -> None:
    """A store that goes back while nothing is written stays back, unless owners look at their fence."""
    for seed in seeds_of("restore", LIMIT_SEEDS // 4):
        setup, schedule = drawn(seed)
        broken = violation(setup._replace(ends_with_a_restore=True), schedule, protocol)
        assert (broken is None) == is_seen, f"seed={seed}: {broken}"


def restored_while_loading(world: World) -> None:
    """Let an owner load from a store that goes back and comes forward again meanwhile."""
    until_written(world, 0)
    world.end(0)
    until_loading(world, 0)
    world.store.snapshot()
    world.store.restore(0, restarts=False, is_for_good=False)
    world.run(0, EAGER)
    world.store.restore(1, restarts=False, is_for_good=False)


def overtaken_while_loading(world: World) -> None:
    """Let an owner load what its successor wrote, and the store go back to before the successor."""
    until_loading(world, 0)
    world.store.snapshot()
    world.act(Action("pause", 2))  # The first process; the group gives its shard to the second.
    until_written(world, 1)
    world.run(0, EAGER)
    world.store.restore(1, restarts=False, is_for_good=True)


def until_loading(world: World, worker: int) -> None:
    """Let a process go on until it has claimed the shard and will load its rows."""
    while world.run(worker, EAGER) != "asks for rows, page 0 of shard 0":
        pass


def until_written(world: World, worker: int) -> None:
    """Let a process go on until the store says that the first message is done with."""
    while not world.store.shard(0).place.offsets[0]:
        world.run(worker, EAGER)


@pytest.mark.parametrize("happens", [restored_while_loading, overtaken_while_loading])
@pytest.mark.parametrize("confirms", [False, True])
def test_confirmation__finds_what_was_loaded_from_another_store(
    happens: Callable[[World], None], confirms: bool
) -> None:
    """
    Rows read behind a claim count as those of its token and number, whatever the store was at that moment.

    It takes a store that is back at exactly our claim before our first write. The empty transaction behind the
    load notices.
    """
    setup = Setup(users=1, workers=2 if happens is overtaken_while_loading else 1)
    world = World(setup, replace(REAL, confirms_what_it_loads=confirms, looks_when_quiet=False))
    world.log.append(0, 0, "u0", 1, "loud")
    happens(world)
    world.heal()
    if confirms:
        check(world)
    else:
        with pytest.raises(Violation, match="u0"):
            check(world)


@pytest.mark.parametrize("looks", [False, True])
def test_cold_rows__are_not_read_from_another_store(looks: bool) -> None:
    """
    A user who is read back while the store is back, which comes forward again, would be nobody.

    No write in between notices; the look at token and number, in the same moment as the rows, does.
    """
    world = World(Setup(users=1, workers=1), replace(REAL, looks_where_cold_rows_are_from=looks))
    world.store.snapshot()
    world.log.append(0, 0, "u0", 1, "quiet")
    until_written(world, 0)
    for _ in range(EAGER_STEPS):  # Everything is stored, and the user leaves memory.
        world.run(0, EAGER)
    world.store.snapshot()
    world.log.append(0, 0, "u0", 2, "quiet")
    while not str(world.run(0, EAGER)).startswith("asks for cold rows"):
        pass
    world.store.restore(1, restarts=False, is_for_good=False)
    world.run(0, 0)
    world.store.restore(2, restarts=False, is_for_good=False)
    world.heal()
    if looks:
        check(world)
    else:
        with pytest.raises(Violation, match="u0"):
            check(world)
