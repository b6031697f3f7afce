"""One row's world: its own store and broker, a stream of events, and workers to be broken. This file runs it."""

import random
import signal
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis

from flows.dev.child import free_port
from flows.dev.embedded import start_valkey
from flows.source import REJOIN_MS
from tests.conftest import PARTITIONS, make_topics
from tests.faults.brokers import Broker
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy, chunks_in
from tests.faults.scene import Scene, false_clock
from tests.faults.stream import Stream
from tests.integration.bench import Bench
from tests.integration.worker_process import QUICK_GROUP, WorkerProcess

DUPLICATES_PER_USER = 1
"""Remembered event ids must not help: they are another line of defence."""
LINGER_MS = "100"
"""How long a change waits in the producer: long enough that many are on their way at any moment."""
WAIT_S = REJOIN_MS / 1_000 + 30.0
"""A worker that was fenced at last by one that is gone waits for REJOIN_MS before it asks its group anew."""
CONTROL_WAIT_S = 15.0
"""Workers without a safeguard may never go on."""
ATTEMPTS_PER_HIT = 10


class NotRecovered(Exception):
    """Say what did not come back in time."""


class HatchedWorker(WorkerProcess):
    """A worker that was forked: see nursery.py."""

    def __init__(
        self, nursery: Nursery, settings: Path, name: str, sabotage: str | None, env: dict[str, str]
    ) -> None:
        self.port = free_port()
        env = {"TIERWISE_HTTP__PORT": str(self.port), **env}
        self._child = nursery.hatch(name, ["run", "--settings", str(settings)], env, sabotage)


class World:
    """
    Run workers over a stream, injure them, and note what followed.

    Args:
        sabotage: the safeguard that every worker lacks, but for the last one (see sabotage.py).
    """

    def __init__(self, folder: Path, seed: int, scene: Scene, sabotage: str | None = None) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.scene = scene
        self.sabotage = sabotage
        self._patience_s = CONTROL_WAIT_S if sabotage else WAIT_S
        self.hits = 0
        self.misses = 0
        self.restarts = 0
        """Workers that ended by themselves, with a line that says why, and were started again."""
        self.recoveries_s: list[float] = []
        self.workers: list[WorkerProcess] = []
        self.leaving: list[WorkerProcess] = []
        """Workers that were asked to stop and may still be at it."""
        self._started = 0
        self.valkey = start_valkey(folder=folder, appendonly=scene.appendonly)
        self.broker = Broker(scene, folder, seed)
        self.kafka = self.broker.server
        self.nursery = Nursery(folder, false_clock(folder) if scene.false_clock else {})
        self.store = redis.Redis.from_url(self.valkey.url, socket_timeout=5)
        self.proxy = Proxy(seed, chunks_in, self.valkey.port) if scene.bad_store_link else None
        prefix = f"f{uuid.uuid4().hex[:8]}"
        topics = make_topics(self.kafka, prefix, PARTITIONS)
        self.bench = Bench(self.valkey, self.kafka, self.store, topics, prefix, folder, (topics.clickstream,))
        self.settings = self._write_settings()
        self.stream = Stream(self.bench.sender, seed, scene.is_hot)

    def _write_settings(self) -> Path:
        settings: dict[str, Any] = {
            "commit_interval": self.scene.commit_interval,
            "duplicates_per_user": DUPLICATES_PER_USER,
            "kafka": {
                **self.broker.worker_settings,
                **QUICK_GROUP,
                "session.timeout.ms": str(self.scene.session_ms),
                "linger.ms": LINGER_MS,
            },
        }
        if self.proxy is not None:
            settings["redis"] = {"url": self.proxy.url}
        return self.bench.write(**settings)

    # ------------------------------------------------------------------------------------------- workers

    @property
    def worker(self) -> WorkerProcess:
        """Name the newest worker."""
        return self.workers[-1]

    def start_worker(self, has_own_group: bool | None = None) -> WorkerProcess:
        """Start one more worker; in the world's group or in one of its own, as the scene says if nobody else."""
        self._started += 1
        env = {}
        if self.scene.own_groups if has_own_group is None else has_own_group:
            env = {"TIERWISE_GROUP": f"{self.bench.topics.group}.{self._started}"}
        name = f"worker {self._started}"
        worker = HatchedWorker(self.nursery, self.settings, name, self.sabotage, env)
        self.workers.append(worker)
        return worker

    def drop(self, worker: WorkerProcess) -> None:
        """Forget a worker that has ended or is to end now."""
        worker.kill()
        self.workers = [one for one in self.workers if one is not worker]

    def kill(self, worker: WorkerProcess) -> None:
        """End a worker as kill -9 does, and start the next."""
        self.drop(worker)
        self.start_worker()

    def keep_up(self) -> None:
        """Do what a supervisor does: start again what has ended by itself."""
        for worker in list(self.workers):
            if worker.exit_code is not None:
                self.restarts += 1
                self.drop(worker)
                self.start_worker()

    # ------------------------------------------------------------------------------------------- looking

    def numbers(self) -> list[int]:
        """Read the number of each shard's last write; none while the store does not answer."""
        try:
            metas = [f"{self.bench.prefix}:shard:{{{one:02d}}}:meta" for one in range(PARTITIONS)]
            return [int(self.store.hget(meta, "number") or 0) for meta in metas]
        except redis.RedisError:
            return []

    def unwritten(self, partitions: Iterable[int] = range(PARTITIONS)) -> int:
        """Count the messages that were sent to these partitions and are not yet done with."""
        try:
            return sum(self._sent(one) - self._written(one) for one in partitions)
        except redis.RedisError:
            return 0

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; workers that end meanwhile are started again."""
        give_up_s = time.monotonic() + self._patience_s
        while not holds():
            if time.monotonic() > give_up_s:
                raise NotRecovered(f"{what} not within {self._patience_s:g} s; {self._last_words()}")
            self.keep_up()
            time.sleep(0.003)

    def wait_written_anew(self, since: list[int] | None = None) -> None:
        """Return once every shard has been written again."""
        before = since or self._numbers_soon()
        self.wait(
            lambda: len(now := self.numbers()) == len(before) and all(a != b for a, b in zip(now, before)),
            "every shard written anew",
        )

    # ------------------------------------------------------------------------------------------- injuries

    def begin(self, workers: int = 1) -> None:
        """Start workers and stream, and return once every shard is at work."""
        for _ in range(workers):
            self.start_worker()
        for worker in list(self.workers):
            worker.wait_ready()
        self.stream.start()
        self.wait_written_anew([0] * PARTITIONS)

    def await_live_moment(self) -> None:
        """Return at a random moment at which messages are unwritten, so that whatever comes now hits traffic."""
        time.sleep(self.random.uniform(0.0, 0.8))
        self.wait(lambda: self.unwritten() > 0, "traffic")
        time.sleep(self.random.uniform(0.0, 0.03))
        self.aim()

    def aim(self) -> None:
        """Wait, in a control without an outbox, for something in it: hits that leave nothing there prove nothing."""
        if self.sabotage == "no_outbox":
            self.wait(lambda: self.bench.outbox() > 0, "a change in the outbox")

    def strike(self, act: Callable[[], object], is_live: Callable[[], bool] | None = None) -> bool:
        """
        Do harm, and count it when it hit.

        Args:
            is_live: tells whether there is something to hit; as a rule, that messages are unwritten.
        """
        has_hit = is_live() if is_live else self.unwritten() > 0
        act()
        self.hits += has_hit
        self.misses += not has_hit
        return has_hit

    def recovered(self, since_s: float) -> None:
        """Wait until every shard is written anew, and note how long that took."""
        self.wait_written_anew()
        self.recoveries_s.append(time.monotonic() - since_s)

    def repeat(self, count: int, injure: Callable[[], None]) -> None:
        """Injure until it has hit so often."""
        for _ in range(count * ATTEMPTS_PER_HIT):
            if self.hits >= count:
                return
            injure()
        raise NotRecovered(f"only {self.hits} of {count} injuries hit live traffic")

    def restart_valkey(self) -> None:
        """Kill the store and start it again at the same port, with what it has on disk."""
        self.valkey.close()
        self.valkey = self.bench.valkey = start_valkey(self.valkey.port, self.folder, self.scene.appendonly)

    # ------------------------------------------------------------------------------------------- the end

    def finish(self) -> None:
        """Let one worker with all its safeguards finish the stream and stop cleanly."""
        count = self.stream.finish()
        if self.sabotage:
            for worker in [*self.workers, *self.leaving]:
                self.drop(worker)
            self.leaving.clear()
            self.sabotage = None
            self.start_worker().wait_ready()
        self.wait(lambda: self._is_done(count), "the end of the stream")
        for worker in [*self.workers, *self.leaving]:
            code = worker.stop()
            was_early = code == -signal.SIGTERM and not worker.log  # Asked before it could listen.
            if code != 0 and not was_early:
                raise NotRecovered(f"a worker stopped with code {code}; {worker.log[-1_000:]}")

    def close(self) -> None:
        """Leave nothing behind."""
        self.stream.abandon()
        for worker in [*self.workers, *self.leaving]:
            worker.kill()
        if self.proxy is not None:
            self.proxy.close()
        self.nursery.close()
        self.store.close()
        self.broker.close()
        self.valkey.close()

    def _is_done(self, count: int) -> bool:
        try:
            return self.bench.written() == count and self.bench.outbox() == 0
        except redis.RedisError:
            return False

    def _sent(self, partition: int) -> int:
        return len(self.bench.sender.sent[partition][0])

    def _written(self, partition: int) -> int:
        meta = f"{self.bench.prefix}:shard:{{{partition:02d}}}:meta"
        return int(self.store.hget(meta, f"offset:{self.bench.topics.clickstream}") or 0)

    def _numbers_soon(self) -> list[int]:
        self.wait(lambda: bool(self.numbers()), "an answer of the store")
        return self.numbers()

    def _last_words(self) -> str:
        return " | ".join(worker.log[-600:] for worker in self.workers)
