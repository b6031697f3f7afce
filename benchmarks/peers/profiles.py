"""How peers in Python write profiles to Redis: at once, or coalesced. This file needs redis-py and hiredis."""

import time
from collections.abc import Mapping

import hiredis
import redis

from benchmarks.peers.job import User
from benchmarks.peers.peer import COMMIT_S, Meter, Task

BUFFER_USERS = 2_000
"""More in one buffer, and both sides wait for the other to read."""
LOOK_EVERY = 256


class Profiles:
    """The hashes of all users; tells the meter of what is stored."""

    def __init__(self, task: Task, meter: Meter) -> None:
        self._key = task.key("")
        self._meter = meter
        self._client = redis.Redis.from_url(task.redis_url)
        self._connection = self._client.connection_pool.get_connection()
        self._waiting: dict[str, User] = {}
        self._taken = 0
        self._due_s = time.monotonic() + COMMIT_S

    def write(self, user_id: str, profile: Mapping[str, str]) -> None:
        """Write one profile and wait for the answer."""
        self._client.hset(self._key + user_id, mapping=dict(profile))
        self._meter.took(1)

    def keep(self, user_id: str, user: User) -> None:
        """Remember that this user changed, one event more; write all such when it is time, or the last event came."""
        self._waiting[user_id] = user
        self._taken += 1
        if (
            self._taken % LOOK_EVERY == 0 and time.monotonic() >= self._due_s
        ) or self._taken == self._meter.left:
            self.write_all(self._waiting, self._taken)
            self._waiting, self._taken = {}, 0

    def write_all(self, users: Mapping[str, User], events: int) -> None:
        """Write these profiles, which hold so many more events, packed by hiredis as few buffers."""
        packed = [
            hiredis.pack_command(
                ("HSET", self._key + user_id, *(word for pair in user.profile().items() for word in pair))
            )
            for user_id, user in users.items()
        ]
        for first in range(0, len(packed), BUFFER_USERS):
            part = packed[first : first + BUFFER_USERS]
            self._connection.send_packed_command([b"".join(part)])
            for _ in part:
                self._connection.read_response()
        self._meter.took(events)
        self._due_s = time.monotonic() + COMMIT_S

    @property
    def is_due(self) -> bool:
        """Tell whether the next write is due."""
        return time.monotonic() >= self._due_s
