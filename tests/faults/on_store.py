"""Faults of the store and of the way to it."""

import time
from collections.abc import Callable

from tests.faults.world import World

OUTAGE_S = (1.0, 3.0)
DEAD_ADDRESS = ("127.0.0.1", "1")


def kill_store(world: World, count: int) -> None:
    """Kill -9 a store that keeps its writes, and start it again."""
    world.begin()
    world.store.config_set("appendfsync", "everysec")

    def injure() -> None:
        world.await_live_moment()
        if world.strike(world.restart_valkey):
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def roll_back(world: World, count: int) -> None:
    """Take a snapshot, go on, kill -9 the store and start it with the snapshot."""
    world.begin()

    def injure() -> None:
        world.store.save()
        world.wait_written_anew()
        world.await_live_moment()
        if world.strike(world.restart_valkey):
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def fill_memory(world: World, count: int) -> None:
    """Lower `maxmemory` below what is used, for a while."""
    _outages(
        world,
        count,
        lambda: world.store.config_set("maxmemory", 1_000_000),
        lambda: world.store.config_set("maxmemory", 0),
    )


def make_read_only(world: World, count: int) -> None:
    """Make the store a replica of nobody there, for a while."""
    _outages(
        world,
        count,
        lambda: world.store.replicaof(*DEAD_ADDRESS),
        lambda: world.store.replicaof("NO", "ONE"),
    )


def ask_for_replicas(world: World, count: int) -> None:
    """Let the store refuse writes for want of replicas, for a while."""
    _outages(
        world,
        count,
        lambda: world.store.config_set("min-replicas-to-write", 1),
        lambda: world.store.config_set("min-replicas-to-write", 0),
    )


def black_hole(world: World, count: int) -> None:
    """Let the network swallow requests, or answers, for a while; connections of then stay dead."""

    def mode() -> str:
        return world.random.choice(["lose_requests", "lose_answers"])

    _outages(world, count, lambda: _switch(world, mode()), lambda: _switch(world, "pass"))


def slow_link(world: World, count: int) -> None:
    """Let each piece of data take up to 3 s, for a while; the worker waits 1 s for an answer."""
    _outages(world, count, lambda: _switch(world, "slow"), lambda: _switch(world, "pass"))


def reset_link(world: World, count: int) -> None:
    """Reset a connection when a chunk has left the worker: before the store sees it, or behind it."""
    world.begin()
    assert world.proxy is not None

    def injure() -> None:
        world.await_live_moment()
        number = sum(world.numbers())
        struck = world.proxy.at_write(
            world.random.randint(1, 6),
            world.random.choice(["before", "after"]),
            lambda: None,
            lambda: sum(world.numbers()) > number,
        )
        world.wait(struck.is_set, "the k-th chunk")
        world.hits += 1  # A write was on its way: that is what was struck.
        world.recovered(time.monotonic())

    world.repeat(count, injure)


def _outages(
    world: World,
    count: int,
    begin: Callable[[], object],
    end: Callable[[], object],
) -> None:
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        has_hit = world.strike(begin)
        time.sleep(world.random.uniform(*OUTAGE_S))
        end()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def _switch(world: World, mode: str) -> None:
    assert world.proxy is not None
    world.proxy.mode = mode
