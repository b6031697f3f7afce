"""One worker process. This file models flows/membership.py, flows/source.py, flows/score.py and flows/emit.py."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.commit import Commit, Progress
from tests.simulation.dice import Dice
from tests.simulation.kafka import Log, Outputs
from tests.simulation.link import Claim, Fenced, Network, RolledBack, ShardClient, Steps, Tokens
from tests.simulation.protocol import Protocol
from tests.simulation.relay import Relay
from tests.simulation.setup import Setup
from tests.simulation.shard import Message, Shard
from tests.simulation.store import Store

REJOIN_TURNS = 4
"""How long a shard may be fenced and still assigned to us before we ask the group to decide anew."""
BATCH_MAX = 5
AT_ONCE = 2


@dataclass
class Surroundings:
    """What all processes share."""

    log: Log
    store: Store
    outputs: Outputs
    setup: Setup
    protocol: Protocol
    new_token: Tokens
    rebalance: Callable[[], None]


@dataclass
class _Held:
    claim: Claim
    shard: Shard
    at_end: list[bool]
    settled: int
    """Number of a write behind which nobody was written who is not in memory."""


class Worker:
    """Read, score, commit and publish, one thing after the other; `steps` runs it from one yield to the next."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name, self._around, self._protocol = name, around, around.protocol
        self.mail: deque[tuple[int, ...] | None] = deque()
        """From the group: the partitions of an assignment, or None for a revocation."""
        self.dice = Dice(0)
        self.network = Network()
        self.relay = Relay(around.outputs, around.protocol, around.setup.in_flight_max)
        self.steps = self._live()
        self._progress = Progress()
        self._client = ShardClient(around.store, self.network, around.protocol, around.new_token)
        self._commit = Commit(self._client, self.relay, self._progress, around.protocol)
        self._claims: dict[int, Claim] = {}
        self._positions: dict[tuple[int, int], int] = {}
        self._news: list[Claim | int] = []
        """A shard that is ours from now on, or the number of one that was given back."""
        self._held: dict[int, _Held] = {}
        self._parked: dict[int, _Held] = {}

    def _live(self) -> Iterator[object]:
        while True:
            yield "reads"
            self._progress.turn += 1
            yield from self._heal()
            has_changed = yield from self._follow_group()
            news, self._news = self._news, []
            for one in news:
                yield from self._take(one) if isinstance(one, Claim) else self._give_back(one)
            if not has_changed:  # What was read meanwhile may be of the assignment before: it is read again.
                yield from self._read()
            if self.dice.take(3) != 1:
                yield from self._tick()

    def _heal(self) -> Steps[None]:
        reload, self._progress.rolled_back = self._progress.rolled_back, set()
        for partition in sorted(reload & set(self._claims)):
            yield from self._claim(partition, self._protocol.seeks_after_reload)
        patience = self._progress.turn - REJOIN_TURNS
        if any(turn < patience for turn in self._progress.fenced.values()):
            self._progress.fenced.clear()
            self._around.rebalance()

    def _follow_group(self) -> Steps[bool]:
        has_changed = False
        while self.mail and not (has_changed and self.dice.take(2)):
            has_changed, partitions = True, self.mail.popleft()
            if partitions is None:
                self._progress.is_assigned = False
                for partition in self._claims:
                    self._news.append(partition)
                    self._progress.released(partition)
                self._claims.clear()
                self._positions.clear()
            else:
                for partition in partitions:
                    yield from self._claim(partition, True)
                self._progress.is_assigned = True
        return has_changed

    def _claim(self, partition: int, seeks: bool) -> Steps[None]:
        claim = yield from self._client.claim(partition)
        self._news = [one for one in self._news if one != partition]
        self._claims[partition] = claim
        self._progress.claimed(partition)
        self._news.append(claim)
        if seeks:
            for topic, offset in enumerate(claim.place.offsets):
                self._positions[topic, partition] = self._start(topic, partition, offset)

    def _start(self, topic: int, partition: int, offset: int | None) -> int:
        if offset is not None:
            return offset
        if self._protocol.starts_new_shards_at_the_beginning:
            return 0
        return len(self._around.log.of(topic, partition))

    def _take(self, claim: Claim) -> Steps[None]:
        shard = self._unparked(claim)
        if shard is None:
            shard = Shard(claim.partition, self._around.log.topics, self._protocol)
            shard.resume(claim.place)
            for user, row in (yield from self._client.load_rows(claim)).items():
                shard.restore(user, row)
        self._held[claim.partition] = _Held(claim, shard, [False] * self._around.log.topics, claim.number)
        yield from self._commit.take(claim)

    def _give_back(self, partition: int) -> Steps[None]:
        yield from self._write(partition)
        held = self._held.pop(partition, None)
        if held is not None and not held.shard.pending():
            self._parked[partition] = held
        self._commit.release(partition)

    def _unparked(self, claim: Claim) -> Shard | None:
        held = self._parked.pop(claim.partition, None)
        settled = self._progress.settled.pop(claim.partition, None)
        if held is None:
            return None
        is_ours = settled == held.claim.token and claim.earlier[:1] == (settled,)
        if self._protocol.asks_before_unparking and not (is_ours and claim.number == held.claim.number):
            return None
        return held.shard

    def _read(self) -> Steps[None]:
        for (topic, partition), position in list(self._positions.items()):
            count = self.dice.take(BATCH_MAX + 1)
            messages = self._around.log.of(topic, partition)[position : position + count]
            self._positions[topic, partition] = position + len(messages)
            yield from self._feed(topic, partition, messages)
        for held in self._held.values():
            held.shard.advance(held.at_end)

    def _feed(self, topic: int, partition: int, messages: list[Message]) -> Steps[None]:
        log, held = self._around.log, self._held.get(partition)
        if held is not None and (yield from self._take_back(held, held.shard.add(messages))):
            is_read = self._positions[topic, partition] == len(log.of(topic, partition))
            held.at_end[topic] = is_read and (log.is_closed or self._around.setup.is_racing)

    def _take_back(self, held: _Held, users: list[str]) -> Steps[bool]:
        """Read users back who have left memory; False when the shard is lost."""
        if users and self._protocol.reads_cold_rows_back:
            try:
                found = yield from self._client.find_cold(held.claim, held.settled, users)
            except (Fenced, RolledBack) as error:
                del self._held[held.claim.partition]
                if isinstance(error, Fenced):
                    self._progress.lost(held.claim.partition)
                else:
                    self._progress.rolled_back.add(held.claim.partition)
                return False
            for user, row in found.items():
                held.shard.restore(user, row)
        return True

    def _tick(self) -> Steps[None]:
        for partition in [one for one in self._held if one not in self._progress.accounts]:
            del self._held[partition]  # Another owner has it.
        if self._progress.is_assigned:
            self._parked.clear()
        for partition in list(self._held):
            held, log = self._held[partition], self._around.log
            if self.dice.take(2):
                held.settled = held.claim.number
                held.shard.let_go()
            held.shard.fire(log.now if self._around.setup.is_racing and all(held.at_end) else None)
        yield from self._in_turns([self._write(partition) for partition in self._held])
        yield from self._commit.trim()
        self._note()

    def _in_turns(self, writes: Sequence[Steps[None]]) -> Steps[None]:
        """Write shards, two at once; models flows/turns.py, and hears between their steps what is published."""
        waiting = deque(writes)
        active: list[Steps[None]] = []
        while waiting or active:
            while waiting and len(active) < AT_ONCE:
                active.append(waiting.popleft())
            one = active[self.dice.take(len(active))]
            try:
                yield next(one)
            except StopIteration:
                active.remove(one)
            if self.dice.take(4) == 1:
                self._note()

    def _note(self) -> None:
        self.relay.poll()
        for partition, account in self._progress.accounts.items():
            account.delivered = self.relay.delivered_to(partition)
            if not self._protocol.trims_after_delivery:
                account.delivered = self.relay.handed_over_to(partition)

    def _write(self, partition: int) -> Steps[None]:
        if held := self._held.get(partition):
            plan = held.shard.take_commit(self._around.setup.chunk_users)
            if plan is not None:
                yield from self._commit.write(plan)
