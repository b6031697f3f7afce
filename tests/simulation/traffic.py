"""Those who write to the input topics. This file chooses users, times and partitions."""

from tests.simulation.dice import Dice
from tests.simulation.kafka import Log
from tests.simulation.setup import Setup

PARTITIONS_MAX = 4
KINDS = ("loud", "loud", "loud", "quiet", "quiet", "refused", "broken")


class Traffic:
    """Send messages, each user's to the partition that is its home."""

    def __init__(self, log: Log, setup: Setup) -> None:
        self._log, self._setup = log, setup
        self._homes = [user % setup.partitions for user in range(setup.users)]

    def produce(self, dice: Dice) -> str:
        """Send one to three messages, not quite in the order of their times."""
        for _ in range(1 + dice.take(3)):
            user, topic = dice.take(len(self._homes)), dice.take(self._setup.topics)
            self._log.now += dice.take(5)
            time, kind = self._log.now - dice.take(6), dice.pick(KINDS)
            name = "" if kind == "broken" else f"u{user}"
            self._log.append(topic, self._homes[user], name, time, kind)
        return f"up to time {self._log.now}"

    def grow(self) -> str:
        """Add a partition and two users."""
        if self._log.partitions == PARTITIONS_MAX:
            return "nothing"
        self._homes += [self._log.partitions] * 2
        self._log.partitions += 1
        if self._setup.growth_moves_users:
            self._homes = [user % self._log.partitions for user in range(len(self._homes))]
        return f"to {self._log.partitions} partitions"

    def close(self) -> None:
        """
        Send a last message to every topic partition.

        It makes every owner write once more: that is when one learns that the store went back.
        """
        for partition in range(self._log.partitions):
            users = [f"u{user}" for user, home in enumerate(self._homes) if home == partition]
            for topic in range(self._setup.topics):
                name, kind = (users[0], "loud") if users else ("", "broken")
                self._log.append(topic, partition, name, self._log.now, kind)
        self._log.is_closed = True
