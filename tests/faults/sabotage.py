"""
What a worker is without one of its safeguards.

Each fault of the campaign is repeated with such workers. Only when that is seen to lose or to repeat something
has the fault hit where it hurts, and the safeguard earned its place. This file takes the safeguards away.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import flows.cli
from flows.commit import Commit
from flows.score import Score
from scoring.commit_plan import WARM
from scoring.row import OFFSETS
from scoring.shard import Shard
from sinks import keyspace, relay, shard_write
from sinks.errors import StoreFenced, StoreRolledBack
from sinks.profile_encoder import Room
from sinks.redis_pipe import LINK_ERRORS, packed
from sinks.relay import Relay
from sinks.shard_link import NotNow, ShardLink
from sinks.shard_store import ShardStore
from sinks.shard_write import ShardWrite

NO_OFFSET = -1


def no_offset_check() -> None:
    """Load rows that do not know how far they were read for."""
    restore = Shard.restore

    def forgetful(self: Shard, user_ids: Any, rows: Any, home: int = WARM) -> None:
        restore(self, user_ids, rows, home)
        everybody = np.arange(len(self.users))
        self.users.put_to_work(everybody)
        self.users.state.rows[self.users.state.place[everybody], OFFSETS] = NO_OFFSET

    Shard.restore = forgetful  # type: ignore[method-assign]


def offsets_first() -> None:
    """Write where reading goes on before the users, not behind them."""
    write_plan = Commit._write_plan

    def hasty(self: Commit, owned: Any, plan: Any) -> Any:
        yield from write_plan(self, owned, replace(plan, blocks=()))
        for chunk in self._rendered(owned, plan, Room()):
            yield from self._finished(owned, self._send_chunk(owned, chunk))

    Commit._write_plan = hasty  # type: ignore[method-assign]


def no_outbox() -> None:
    """Publish what one has written oneself, and leave what an earlier owner left behind."""
    ShardStore.load_outbox = lambda self, claim: []  # type: ignore[method-assign]


def trim_early() -> None:
    """Take changes out of the outbox as soon as they are handed to the producer."""
    publish, newest = Relay.publish, dict[int, str]()

    def noting(self: Relay, partition: int, batches: Any, published: Any = ()) -> None:
        batches = list(batches)
        publish(self, partition, batches, published)
        newest[partition] = batches[-1].last_id

    Relay.publish = noting  # type: ignore[method-assign]
    Relay.delivered_to = lambda self, partition: newest.get(partition)  # type: ignore[method-assign]


def careless_relay() -> None:
    """Send a message once, give up on it after a second, and take every report for a confirmation."""
    settle = Relay._settle
    relay._PROMISES = {"enable.idempotence": False, "delivery.timeout.ms": 1000, "retries": 0}
    Relay._settle = lambda self, reports: settle(  # type: ignore[method-assign]
        self, replace(reports, error=np.zeros_like(reports.error))
    )


def no_watch() -> None:
    """Look before each write who owns the shard and what its number is, but do not watch over it until EXEC."""
    begin = ShardLink.__init__

    def blind(self: ShardLink, pipe: Any, meta: bytes) -> None:
        begin(self, pipe, meta)
        self._watch = packed("PING") + packed("HMGET", meta, keyspace.TOKEN, keyspace.NUMBER)

    ShardLink.__init__ = blind  # type: ignore[method-assign]


def no_fence() -> None:
    """Write whoever has claimed the shard meanwhile, and whatever the store's number is."""
    no_watch()
    shard_write.refuse_other_state = lambda claim, guard: None


def at_least() -> None:
    """Refuse a store that is ahead of us, but not one that is behind: `>=` where equality is asked for."""

    def tolerant(claim: Any, guard: Any) -> None:
        if guard.token not in (None, claim.token):
            raise StoreFenced("claimed by another worker")
        if guard.number > claim.number:
            raise StoreRolledBack("the store is ahead of us")

    shard_write.refuse_other_state = tolerant


def assume_done() -> None:
    """Send each write once, compare only the owner, and take a write that was not confirmed for done."""

    def hopeful(self: ShardWrite) -> bool:
        try:
            if self.is_sent:
                self.link.receive()
                return True
            guard, _ = self.link.look((), "shard")
            if guard.token not in (None, self.claim.token):
                raise StoreFenced("claimed by another worker")
            self.link.send(self.transaction)
            self.is_sent = True
        except (NotNow, *LINK_ERRORS):
            self.link.drop()
            self.is_sent = True  # `finish` asks once more, and hears nothing.
            return True
        return False

    ShardWrite._step = hopeful  # type: ignore[method-assign, assignment]


def wall_clock() -> None:
    """Let deadlines fire when the machine's clock has passed them, not when the stream has."""
    sweep = Score._sweep

    def by_the_wall(self: Score, held: Any, wall_ms: int) -> None:
        sweep(self, held, wall_ms)
        held.shard.fire(max(wall_ms, held.shard.watermark_ms or 0))

    Score._sweep = by_the_wall  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    one.__name__: one
    for one in (
        no_offset_check,
        offsets_first,
        no_outbox,
        trim_early,
        careless_relay,
        no_watch,
        no_fence,
        at_least,
        assume_done,
        wall_clock,
    )
}


def run(name: str | None, arguments: Sequence[str]) -> int:
    """Run the program, without that safeguard if one is named; answer the exit code."""
    if name is not None:
        SABOTAGES[name]()
    return flows.cli.main(arguments)
