"""
This file holds one shard's connection to Redis: the watch on its meta hash, and writes under that watch.

A write is one MULTI/EXEC that goes out only while the meta hash is watched and was seen to hold our token and
the number of our previous write. The watch and the look for the NEXT write ride behind each EXEC, also those
at the profiles it will make, so a write is one round trip. EXEC answers nil when anybody touched the meta hash,
or one of these profiles, in between. Between sending and the answer others may be served, see `send`.
"""

import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import AuthenticationError, ExecAbortError

from sinks import keyspace
from sinks.errors import StoreError, StoreRefused, StoreUnavailable
from sinks.redis_pipe import LINK_ERRORS, Argument, RedisPipe, command_words, packed

_FIRST_PAUSE_S = 0.02
_PAUSE_MAX_S = 1.0
_MULTI = packed("MULTI")
_EXEC = packed("EXEC")


@dataclass(frozen=True, slots=True)
class Guard:
    """What the meta hash held after the watch on it began."""

    token: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    Commands to be run under a watch, as often as it takes until they are.

    Attributes:
        rendered: they, between MULTI and EXEC, and behind that the watch for the next write.
        count: how many they are.
        following: hashes that the next write will make; watched and looked for, too.
    """

    rendered: bytes
    count: int
    following: Sequence[bytes]


class NotNow(Exception):
    """The write had no effect and may be tried again."""


class ShardLink:
    """Own the connection that watches one shard's meta hash."""

    def __init__(self, pipe: RedisPipe, meta: bytes) -> None:
        self._pipe = pipe
        self._guard: Guard | None = None
        self._absent: Sequence[bytes] = ()
        """Keys that the present watch covers, and that were not there when it began."""
        self._due: Transaction | None = None
        """What was sent and not yet answered."""
        self._look = ("HMGET", meta, keyspace.TOKEN, keyspace.NUMBER)
        self._watch = packed("WATCH", meta) + packed(*self._look)

    def drop(self) -> None:
        """Close the connection; the next use opens a new one and begins a new watch."""
        self._pipe.close()
        self._guard = None

    def ask(self, *command: Argument) -> Any:
        """Send one command and answer its reply."""
        return self._pipe.ask(*command)

    def ask_all(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send commands and answer what each was answered, an error as itself."""
        return self._pipe.exchange(b"".join(packed(*command) for command in commands), len(commands))

    def is_untouched(self) -> bool:
        """Tell whether nobody has touched the meta hash since the watch began; without a watch nobody can tell."""
        return self._guard is not None and self.transact(b"", 0)

    def peek(self) -> Guard:
        """Answer what the meta hash holds now, whatever watch there is."""
        return guard_from(self.ask(*self._look))

    def watch_all(self, key: bytes) -> dict[bytes, bytes]:
        """Begin a watch on a hash and answer all of it."""
        self._guard = None
        replies = self._pipe.exchange(packed("WATCH", key) + packed("HGETALL", key), 2)
        _raise_first(replies)
        flat = replies[1]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def look(self, keys: Sequence[bytes], field: str) -> tuple[Guard, list[bytes | None]]:
        """
        Watch meta and these hashes; answer the guard and the field of each.

        The watch comes before the look, so that nothing seen can be out of date when EXEC succeeds.
        """
        guard = self._guard
        if guard is not None and (not keys or keys == self._absent):
            return guard, [None] * len(keys)
        replies = self._pipe.exchange(self._watch_of(keys), _looks_at(keys))
        guard = self._seen(replies, keys)
        if keys == self._absent:
            return guard, [None] * len(keys)
        owners = self._pipe.exchange(b"".join(packed("HGET", key, field) for key in keys), len(keys))
        _raise_first(owners)
        return guard, owners

    def transact(self, commands: bytes, count: int) -> bool:
        """Send commands and hear what came of them, see `send` and `receive`."""
        self.send(self.transaction([commands], count))
        return self.receive()

    def transaction(
        self, pieces: Iterable[bytes | memoryview], count: int, following: Sequence[bytes] = ()
    ) -> Transaction:
        """Join rendered commands, so many of them, and copy them."""
        rendered = b"".join((_MULTI, *pieces, _EXEC, self._watch_of(following)))
        return Transaction(rendered, count, following)

    def send(self, transaction: Transaction) -> None:
        """Send a transaction, to be run under the present watch; `receive` tells what came of it."""
        self._guard = None
        self._pipe.send(transaction.rendered)
        self._due = transaction

    def receive(self) -> bool:
        """
        Wait for what came of the commands.

        Answers False, with nothing written, when a watched key was touched. Raises NotNow when the server
        refused the commands, StoreError when one of them failed while the others were carried out.
        """
        assert self._due is not None, "nothing was sent"
        rendered, count, following = self._due.rendered, self._due.count, self._due.following
        replies = self._pipe.receive(count + 2 + _looks_at(following))
        result, seen = replies[count + 1], replies[count + 2 :]
        if isinstance(result, ExecAbortError):
            # Out of memory, read-only after a failover, too few replicas: a new connection may lead to the
            # new primary.
            self.drop()
            raise NotNow(str(next((reply for reply in replies if isinstance(reply, Exception)), result)))
        _raise_first([result])
        self._seen(seen, following)
        if result is None:
            return False
        _raise_failed(result, rendered)
        return True

    def _watch_of(self, keys: Sequence[bytes]) -> bytes:
        """Render a watch on meta and these keys with the look at them, which _looks_at counts."""
        if not keys:
            return self._watch
        return b"".join((packed("WATCH", *keys), self._watch, packed("EXISTS", *keys)))

    def _seen(self, replies: Sequence[Any], keys: Sequence[bytes]) -> Guard:
        """Take in what a look at meta and these keys was answered."""
        _raise_first(replies)
        self._guard = guard_from(replies[-2] if keys else replies[-1])
        self._absent = keys if keys and replies[-1] == 0 else ()
        return self._guard


class Retry:
    """Wait longer and longer between attempts, and give up in the end."""

    def __init__(self, total_s: float, what: str) -> None:
        self._what = what
        self._give_up_s = time.monotonic() + total_s
        self._pause_s = _FIRST_PAUSE_S

    def pause(self, cause: Exception) -> None:
        """
        Sleep before the next attempt.

        Raises:
            StoreUnavailable: the time is used up.
            StoreRefused: no attempt with these settings can be better.
        """
        if remedy := _remedy(cause):
            raise StoreRefused(f"{self._what}: {str(cause).rstrip('.')}: {remedy}") from cause
        if time.monotonic() + self._pause_s > self._give_up_s:
            raise StoreUnavailable(f"{self._what}: {cause}") from cause
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)


def _remedy(cause: Exception) -> str:
    """Say what to set when the store did not let us in, or is not to be trusted; else nothing."""
    if isinstance(cause, AuthenticationError):
        return "mend the login in redis.url"
    # redis-py makes an error of its own of it, while handling it.
    if isinstance(cause.__context__, ssl.SSLCertVerificationError):
        return "redis.url names the authority to be trusted, as ?ssl_ca_certs=FILE"
    return ""


def _looks_at(keys: Sequence[bytes]) -> int:
    """Count the replies to what _watch_of renders."""
    return 4 if keys else 2


def guard_from(reply: list[bytes | None]) -> Guard:
    """Read what was answered to a look at the meta hash."""
    token, number = reply
    return Guard(None if token is None else token.decode(), int(number or 0))


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, LINK_ERRORS):
            raise reply
        if isinstance(reply, Exception):
            raise StoreError(str(reply)) from reply


def _raise_failed(replies: list[Any], rendered: bytes) -> None:
    kinds = set(map(type, replies))  # A few, of a reply for each of hundreds of commands.
    if not any(issubclass(kind, Exception) for kind in kinds):
        return
    for index, reply in enumerate(replies):
        if isinstance(reply, Exception):
            words = command_words(rendered, 1 + index)
            raise StoreError(f"{b' '.join(words[:2]).decode(errors='replace')}: {reply}") from reply
