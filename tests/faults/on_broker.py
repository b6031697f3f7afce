"""Faults of the broker and of the way to it."""

import time
from collections.abc import Callable

from tests.faults.world import NotRecovered, World
from tests.kafka.broker import ApacheKafka

HANG_S = 4.0
LONG_S = 70.0
"""Longer than any session, request or socket timeout."""
OUTAGE_S = (1.5, 4.0)
HALT_DEADLINE_S = 60.0


def hang(world: World, count: int) -> None:
    """Freeze the broker for a few seconds."""
    _outages(world, count, _pause(world), _resume(world), lambda: HANG_S)


def hang_long(world: World, count: int) -> None:
    """Freeze the broker for longer than anything waits."""
    _outages(world, count, _pause(world), _resume(world), lambda: LONG_S)


def absent_at_start(world: World, count: int) -> None:
    """Kill the worker and start the next one while the broker does not answer; it comes back later."""
    world.begin()

    def injure() -> None:
        time.sleep(world.random.uniform(0.0, 0.8))
        world.stream.pause()
        world.stream.send_burst()
        world.wait(lambda: world.bench.outbox() > 0, "a change in the outbox")
        has_hit = world.strike(_pause(world), lambda: world.bench.outbox() > 0)
        world.kill(world.worker)
        give_up_s = time.monotonic() + HANG_S
        while time.monotonic() < give_up_s:
            world.keep_up()
            time.sleep(0.05)
        _resume(world)()
        world.stream.resume()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def kill(world: World, count: int) -> None:
    """Kill -9 the broker and start it again with what it has on disk."""
    _outages(world, count, world.kafka.close, _start(world), lambda: 0.0)


def kill_for_long(world: World, count: int) -> None:
    """Kill -9 the broker and start it again when all that can time out has done so."""
    _outages(world, count, world.kafka.close, _start(world), lambda: LONG_S)


def fill_disk(world: World, count: int) -> None:
    """Leave no byte free under the broker until it halts, then make room and start it again."""
    world.begin()

    def injure() -> None:
        world.await_live_moment()
        has_hit = world.strike(world.broker.fill_disk)
        give_up_s = time.monotonic() + HALT_DEADLINE_S
        while _apache(world).is_running:
            if time.monotonic() > give_up_s:
                raise NotRecovered("the broker outlived a full disk")
            time.sleep(0.05)
        world.broker.free_disk()
        _apache(world).start()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def reset_link(world: World, count: int) -> None:
    """Reset the connection that changes go over: before the broker has seen a request, or behind it."""
    world.begin()
    assert world.broker.proxy is not None

    def injure() -> None:
        assert world.broker.proxy is not None
        world.await_live_moment()
        struck = world.broker.proxy.at_write(
            world.random.randint(1, 4),
            world.random.choice(["before", "after"]),
            lambda: None,
            lambda: False,
        )
        world.wait(struck.is_set, "the k-th request")
        world.hits += 1  # Changes were on their way: that is what was struck.
        world.recovered(time.monotonic())

    world.repeat(count, injure)


def slow_link(world: World, count: int) -> None:
    """Let each piece of data take up to 3 s, for a while, which is longer than the session of the group."""
    _outages(world, count, lambda: _switch(world, "slow"), lambda: _switch(world, "pass"), _while(world))


def black_hole(world: World, count: int) -> None:
    """Let the network swallow requests, or answers, for a while; connections of then stay dead."""

    def begin() -> None:
        _switch(world, world.random.choice(["lose_requests", "lose_answers"]))

    _outages(world, count, begin, lambda: _switch(world, "pass"), _while(world))


def _outages(
    world: World,
    count: int,
    begin: Callable[[], object],
    end: Callable[[], object],
    seconds: Callable[[], float],
) -> None:
    world.begin()

    def injure() -> None:
        time.sleep(world.random.uniform(0.0, 0.8))
        world.stream.pause()  # What the sender itself had on its way might be sent twice.
        world.stream.send_burst()
        has_hit = world.strike(begin)
        time.sleep(seconds())
        end()
        world.stream.resume()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def _apache(world: World) -> ApacheKafka:
    assert isinstance(world.kafka, ApacheKafka)
    return world.kafka


def _start(world: World) -> Callable[[], None]:
    return lambda: _apache(world).start()


def _pause(world: World) -> Callable[[], None]:
    assert not isinstance(world.kafka, ApacheKafka)
    return world.kafka.pause


def _resume(world: World) -> Callable[[], None]:
    assert not isinstance(world.kafka, ApacheKafka)
    return world.kafka.resume


def _while(world: World) -> Callable[[], float]:
    return lambda: world.random.uniform(*OUTAGE_S)


def _switch(world: World, mode: str) -> None:
    assert world.broker.proxy is not None
    world.broker.proxy.mode = mode
