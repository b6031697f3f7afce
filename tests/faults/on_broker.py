"""Faults of the broker: it hangs under load, or does not answer when a worker starts."""

import time

from tests.faults.world import World

HANG_S = 4.0
LONG_HANG_S = 70.0


def hang(world: World, count: int) -> None:
    """Freeze the broker for a few seconds."""
    _hang(world, count, HANG_S)


def hang_long(world: World, count: int) -> None:
    """Freeze the broker for longer than any session, request or socket timeout."""
    _hang(world, count, LONG_HANG_S)


def absent_at_start(world: World, count: int) -> None:
    """Kill the worker and start the next one while the broker does not answer; it comes back later."""
    world.begin()

    def injure() -> None:
        time.sleep(world.random.uniform(0.0, 0.8))
        world.stream.pause()
        world.stream.send_burst()
        world.wait(lambda: world.bench.outbox() > 0, "a change in the outbox")
        has_hit = world.strike(world.kafka.pause, lambda: world.bench.outbox() > 0)
        world.kill(world.worker)
        give_up_s = time.monotonic() + HANG_S
        while time.monotonic() < give_up_s:
            world.keep_up()
            time.sleep(0.05)
        world.kafka.resume()
        world.stream.resume()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)


def _hang(world: World, count: int, seconds: float) -> None:
    world.begin()

    def injure() -> None:
        time.sleep(world.random.uniform(0.0, 0.8))
        world.stream.pause()  # What the sender itself had on its way might be sent twice.
        world.stream.send_burst()
        has_hit = world.strike(world.kafka.pause)
        time.sleep(seconds)
        world.kafka.resume()
        world.stream.resume()
        if has_hit:
            world.recovered(time.monotonic())

    world.repeat(count, injure)
