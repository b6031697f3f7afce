"""A world of processes, a store and Kafka, and what happens in it. This file runs one schedule to its end."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.dice import Dice
from tests.simulation.kafka import Log, Outputs, Producer
from tests.simulation.link import LinkBroken, NotCopartitioned, Tokens
from tests.simulation.protocol import Protocol, Violation
from tests.simulation.setup import Action, Setup
from tests.simulation.store import Store
from tests.simulation.traffic import Traffic
from tests.simulation.worker import Surroundings, Worker

STEPS_MAX = 10
FATES = ("request lost", "answer lost", "late")
SNAPSHOTS_BACK_MAX = 3
HEALED_ROUNDS_MAX = 400
TURN_STEPS_MAX = 100
EAGER = 6**48 - 1
"""A number whose dice say to read as much as possible, and to commit at once."""


@dataclass
class Tally:
    """
    What happened in a world.

    in_doubt: messages on their way to Kafka at a crash, a hand-over or a failure: so many may come twice.
    refused: processes that ended because a user belongs to another shard.
    """

    restores: int = 0
    in_doubt: int = 0
    refused: int = 0


class World:
    """
    Let things happen; every run of the same setup and actions is the same.

    Args:
        tell: is told what happens.
    """

    def __init__(self, setup: Setup, protocol: Protocol, tell: Callable[[str], None] | None = None) -> None:
        self.setup, self.protocol, self.tally = setup, protocol, Tally()
        self.log = Log(setup.topics, setup.partitions)
        self.store = Store(setup.topics)
        self.outputs = Outputs(setup.outputs, self.store.durable)
        self._traffic = Traffic(self.log, setup)
        self._tell = tell
        self._around = Surroundings(
            self.log, self.store, self.outputs, setup, protocol, Tokens(), lambda: self._deal(Dice(0))
        )
        self._births = 0
        self._paused: set[str] = set()
        self._orphans: list[Producer] = []
        """What dead producers have on the wire."""
        self._workers = [self._born() for _ in range(setup.workers)]
        self._deal(Dice(0))
        self.store.snapshot()
        self._acts: dict[str, Callable[[Dice], object]] = {
            "step": self._step,
            "produce": self._traffic.produce,
            "land": self._land,
            "crash": self._crash,
            "pause": lambda dice: self._cut_off(dice.pick(self._workers), dice),
            "go on": lambda dice: self._paused.clear(),
            "rebalance": self._deal,
            "network": self._disturb,
            "deliver late": self._deliver_late,
            "snapshot": lambda dice: self.store.snapshot(),
            "restore": self._restore,
            "fail": self._fail,
            "grow": self._grow,
        }

    def act(self, action: Action) -> None:
        """Let one thing happen."""
        said = self._acts[action.kind](Dice(action.number))
        if self._tell:
            what = "; ".join(map(str, said)) if isinstance(said, list) else said
            self._tell(f"{action.kind}: {what}" if what else action.kind)

    def run(self, index: int, number: int) -> object:
        """Let a process go one step; answer what it is about to do, or has heard."""
        worker = self._workers[index]
        worker.dice = Dice(number)
        try:
            said = next(worker.steps)
        except LinkBroken:
            self.end(index)
            return "ends: no answer to a read"
        except NotCopartitioned:
            self.tally.refused += 1
            self.end(index)
            return "ends: a user belongs to another shard"
        if worker.network.has_failed:
            worker.network.has_failed = False
            self._cut_off(worker, Dice(number))
        return said

    def end(self, index: int) -> None:
        """End a process and start another; what it has on the wire may still land."""
        worker = self._workers[index]
        worker.steps.close()
        self.tally.in_doubt += worker.relay.given_up + worker.relay.in_flight()
        self._paused.discard(worker.name)
        self._orphans.append(worker.relay.producer)
        self._workers[index] = self._born()
        self._deal(Dice(0))

    def heal(self) -> None:
        """End all faults and let everybody finish; a Violation when they do not."""
        self._paused.clear()
        for worker in self._workers:
            worker.network.fate = "ok"
        while self.store.late:
            self.store.deliver_late(0)
        self._traffic.close()
        self._deal(Dice(0))
        self._finish()
        if self.setup.ends_with_a_restore:
            self.tally.restores += 1
            self.store.restore(0, restarts=False, is_for_good=True)
            self._finish()
        self.tally.in_doubt += sum(worker.relay.given_up for worker in self._workers)

    def is_drained(self) -> bool:
        """Tell whether the store holds all that was sent, and nothing is left to publish."""
        for partition in range(self.log.partitions):
            state = self.store.shard(partition)
            ends = [len(self.log.of(topic, partition)) for topic in range(self.setup.topics)]
            if state.outbox or [offset or 0 for offset in state.place.offsets] != ends:
                return False
        return True

    def _finish(self) -> None:
        for _ in range(HEALED_ROUNDS_MAX):
            for index in range(len(self._workers)):
                self._turn(index)
            for producer in [*self._producers(), *self._orphans]:
                for output in producer.busy():
                    while producer.lanes[output]:
                        self.outputs.land(producer, output)
            if self.is_drained() or self.tally.refused > len(self._workers):
                return
        raise Violation("stuck: not everything is read, stored, published and trimmed in the end")

    def _turn(self, index: int) -> None:
        for _ in range(TURN_STEPS_MAX):
            said = self.run(index, EAGER)
            if said == "reads":
                return
            if self._tell:
                self._tell(f"in the end {self._workers[index].name}: {said}")

    def _born(self) -> Worker:
        self._births += 1
        return Worker(f"w{self._births}", self._around)

    def _step(self, dice: Dice) -> list[object]:
        index = dice.take(len(self._workers))
        steps, said = 1 + dice.take(STEPS_MAX), [self._workers[index].name]
        while len(said) <= steps and self._workers[index].name not in self._paused:
            said.append(self.run(index, dice.take(6**6)))
            if said[-2:] == ["reads", "reads"]:  # Nothing to do at the moment.
                break
        return said

    def _grow(self, _dice: Dice) -> str:
        said = self._traffic.grow()
        self._deal(Dice(0))
        return said

    def _deal(self, dice: Dice) -> None:
        """Give every partition to one live worker; by mistake one of them to a second one as well."""
        live = [worker for worker in self._workers if worker.name not in self._paused] or self._workers
        first, extra = dice.take(len(live)), dice.take(4)
        for worker in self._workers:
            worker.mail.append(None)
        for index, worker in enumerate(live):
            mine = [
                partition
                for partition in range(self.log.partitions)
                if (partition + first) % len(live) == index or extra == 1 + index + partition
            ]
            worker.mail.append(tuple(mine))

    def _crash(self, dice: Dice) -> str:
        """End a process; the network may have taken some of what it had to say to Kafka, but no more."""
        index = dice.take(len(self._workers))
        worker = self._workers[index]
        for lane in worker.relay.producer.lanes.values():
            for _ in range(dice.take(1 + len(lane))):
                lane.pop()
        self.end(index)
        return worker.name

    def _cut_off(self, worker: Worker, dice: Dice) -> str:
        """Stop a process where it is; mostly the group notices and gives its partitions to the others."""
        self._paused.add(worker.name)
        if not dice.take(4):
            return worker.name
        self._deal(Dice(0))
        return f"{worker.name}, and the others take over"

    def _disturb(self, dice: Dice) -> str:
        worker = dice.pick(self._workers)
        worker.network.fate = dice.pick(FATES)
        return f"the next write of {worker.name}: {worker.network.fate}"

    def _deliver_late(self, dice: Dice) -> str:
        if not self.store.late:
            return "nothing"
        return str(self.store.deliver_late(dice.take(len(self.store.late))))

    def _restore(self, dice: Dice) -> str:
        index = len(self.store.snapshots) - 1
        index -= dice.take(min(SNAPSHOTS_BACK_MAX, len(self.store.snapshots)))
        self.store.restore(index, bool(dice.take(2)), is_for_good=True)
        self.tally.restores += 1
        return f"snapshot {index}"

    def _producers(self) -> list[Producer]:
        return [worker.relay.producer for worker in self._workers]

    def _land(self, dice: Dice) -> str:
        producers = [*self._producers(), *self._orphans]
        busy = [(producer, output) for producer in producers for output in producer.busy()]
        if not busy:
            return "nothing"
        producer, output = dice.pick(busy)
        for _ in range(min(len(producer.lanes[output]), 1 + dice.take(4))):
            self.outputs.land(producer, output)
        return f"output {output} ends with {self.outputs.partitions[output][-1].entry.name}"

    def _fail(self, dice: Dice) -> str:
        """Let a message fail for good; of other output partitions some are on the wire and land all the same."""
        busy = [(producer, output) for producer in self._producers() for output in producer.busy()]
        if not busy:
            return "nothing"
        producer, output = dice.pick(busy)
        orphan = Producer()
        for other in producer.busy():
            for _ in range(0 if other == output else dice.take(1 + len(producer.lanes[other]))):
                orphan.send(other, producer.take_back(other))
                self.tally.in_doubt += 1
        self._orphans.append(orphan)
        failed = producer.fail(output, self.protocol.stops_at_a_failed_delivery)
        return failed.entry.name
