"""Faults of workers: killed, frozen, too many, coming and going."""

import os
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from tests.faults.scene import set_clock
from tests.faults.world import NotRecovered, World
from tests.integration.worker_process import WorkerProcess

STORM_PAUSE_S = (0.4, 2.5)
STORM_WORKERS = 3
CLOCK_LEAP_MIN_S, CLOCK_LEAP_MAX_S = 3_600, 400 * 86_400


def kill_anywhere(world: World, count: int) -> None:
    """Kill -9 the only worker, and start the next."""
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        _kill_and_recover(world)

    world.repeat(count, injure)


def kill_with_full_outbox(world: World, count: int) -> None:
    """Kill -9 while changes are durable and not yet known to be published."""
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        world.wait(lambda: world.bench.outbox() > 0, "a change in the outbox")
        _kill_and_recover(world, lambda: world.bench.outbox() > 0)

    world.repeat(count, injure)


def kill_before_chunk(world: World, count: int) -> None:
    """Kill -9 when the k-th chunk is on its way and the store has not seen it."""
    _kill_at_chunk(world, count, "before")


def kill_after_chunk(world: World, count: int) -> None:
    """Kill -9 when the store has carried out the k-th chunk and the worker does not know it."""
    _kill_at_chunk(world, count, "after")


def freeze_owner(world: World, count: int) -> None:
    """SIGSTOP the owner, let another take over, SIGCONT, and wait until the first has noticed."""
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        frozen, started_s = world.worker, time.monotonic()
        has_hit = world.strike(partial(os.kill, frozen.pid, signal.SIGSTOP))
        world.start_worker()
        if has_hit:
            world.recovered(started_s)
        else:
            world.wait_written_anew()
        time.sleep(world.random.uniform(0.0, 0.5))
        successor, joined = world.worker, frozen.log.count("event=partitions.assigned")
        os.kill(frozen.pid, signal.SIGCONT)
        if world.sabotage is None:
            world.wait(
                lambda: _is_fenced(frozen) or frozen.log.count("event=partitions.assigned") > joined,
                "the awakened one fenced, or back in its group",
            )
        if world.sabotage is None and not _is_fenced(frozen):
            # It had nothing to write until its group, which had given it up, gave it all shards again: no hit.
            world.hits -= has_hit
            world.misses += has_hit
            world.drop(successor)
        else:
            world.wait_written_anew()
            world.drop(frozen)

    world.repeat(count, injure)


def freeze_member(world: World, count: int) -> None:
    """SIGSTOP one of two workers until the group has given its shards to the other, then SIGCONT."""
    world.begin(workers=2)

    def injure() -> None:
        frozen = world.random.choice(world.workers)
        owns = [int(one) for one in re.findall(r"owns=([\d,]+)", frozen.log)[-1].split(",")]
        world.await_live_moment()
        world.wait(lambda: world.unwritten(owns) > 0, "traffic of the one to be frozen")
        started_s = time.monotonic()
        if world.strike(partial(os.kill, frozen.pid, signal.SIGSTOP), lambda: world.unwritten(owns) > 0):
            world.recovered(started_s)
        time.sleep(world.random.uniform(0.0, 2.0))
        os.kill(frozen.pid, signal.SIGCONT)
        world.wait_written_anew()
        world.wait(lambda: all(worker.owned() == 2 for worker in world.workers), "two shards for each")

    world.repeat(count, injure)


def second_owner(world: World, count: int) -> None:
    """Start a worker of another group under the same prefix, kill it, and start the first one again."""

    def injure() -> None:
        first = world.worker
        thief = world.start_worker(has_own_group=True)
        world.wait(lambda: world.worker.answers("/ready") == 200, "the second owner at work")
        world.wait_written_anew()
        if world.sabotage is None:
            world.wait(lambda: _is_fenced(first), "the first owner fenced")
        world.await_live_moment()
        started_s = time.monotonic()
        world.strike(partial(world.drop, thief))
        for worker in list(world.workers):
            world.drop(worker)
        world.start_worker()
        world.recovered(started_s)

    world.begin()
    world.repeat(count, injure)


def storm(world: World, count: int) -> None:
    """Start, stop and kill up to three workers at random, without waiting for the group to settle."""
    world.begin(workers=2)

    last = world.numbers()

    def injure() -> None:
        nonlocal last
        time.sleep(world.random.uniform(*STORM_PAUSE_S))
        world.aim()
        now = world.numbers()
        # Messages wait all the time while nobody is there yet: only who has written since can be hit.
        world.strike(partial(_stir, world), lambda: now != last)
        last = now

    world.repeat(count, injure)
    world.recovered(time.monotonic())


def clock_leaps(world: World, count: int) -> None:
    """Set the workers' clock anywhere while one runs, then kill it, so that the next one starts at that time."""
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        ahead_s = world.random.choice((-1, 1)) * world.random.randint(CLOCK_LEAP_MIN_S, CLOCK_LEAP_MAX_S)
        if world.strike(partial(set_clock, world.folder, ahead_s)):
            world.recovered(time.monotonic())
        world.kill(world.worker)
        world.wait_written_anew()
        stamp = re.search(r" time=(\S+)", world.worker.log)
        shown_s = datetime.fromisoformat(stamp[1]).timestamp() if stamp else time.time()
        if abs(shown_s - time.time() - ahead_s) > CLOCK_LEAP_MIN_S / 2:
            raise NotRecovered(f"a worker's clock shows {shown_s}, not {ahead_s} s more than ours")

    world.repeat(count, injure)


def _stir(world: World) -> None:
    able = ["start"] if len(world.workers) < STORM_WORKERS else []
    if len(world.workers) > 1:
        # Who is asked to stop publishes all: only a kill can show that nobody looks after what is left.
        able = ["kill"] if world.sabotage else [*able, "stop", "kill"]
    match world.random.choice(able):
        case "start":
            world.start_worker()
        case "stop":
            worker = world.random.choice(world.workers)
            os.kill(worker.pid, signal.SIGTERM)  # The supervisor does not start it again: see `keep_up`.
            world.leaving.append(worker)
            world.workers.remove(worker)
        case "kill":
            world.drop(world.random.choice(world.workers))


def _is_fenced(worker: WorkerProcess) -> bool:
    return "event=store.fenced" in worker.log


def _kill_and_recover(world: World, is_live: Callable[[], bool] | None = None) -> None:
    if not (is_live or (lambda: world.unwritten() > 0))():
        return  # The moment has passed.
    started_s = time.monotonic()
    has_hit = world.strike(partial(world.kill, world.worker), is_live)
    if has_hit:
        world.recovered(started_s)
    else:
        world.wait_written_anew()


def _kill_at_chunk(world: World, count: int, moment: str) -> None:
    world.begin()
    assert world.proxy is not None

    def injure() -> None:
        number = sum(world.numbers())
        struck = world.proxy.at_write(
            world.random.randint(1, 8),
            moment,
            partial(os.kill, world.worker.pid, signal.SIGKILL),
            lambda: sum(world.numbers()) > number,
        )
        world.wait(struck.is_set, "the k-th chunk")
        started_s = time.monotonic()
        world.hits += 1  # A write was on its way: that is what was struck.
        world.drop(world.worker)
        world.start_worker()
        world.recovered(started_s)

    world.repeat(count, injure)
