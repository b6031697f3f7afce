"""This file holds one connection to Redis that sends ready-made bytes and reads many replies at once."""

from typing import Any

import hiredis
from redis import ConnectionPool
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# After one of these the connection is of no use, and whether the last bytes had an effect is unknown.
LINK_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError, MasterDownError, ReadOnlyError)
Argument = bytes | str | int

_CONNECTIONS_MAX = 1 << 20
_READ_BYTES = 1 << 16


class _BatchParser(_HiredisParser):
    """
    Read replies without the per-reply work of Connection.read_response.

    A chunk of 500 users has a thousand `QUEUED`: at 1 us each they would cost more than rendering the chunk.
    """

    def read_batch(self, count: int) -> list[Any]:
        replies: list[Any] = []
        while len(replies) < count:
            self.read_from_socket()
            replies.extend(iter(self._reader.gets, NOT_ENOUGH_DATA))
        return replies


class RedisPipe:
    """Own one connection; it connects by itself when it is used and stays closed after an error."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: Any = pool.make_connection()
        self._is_answer_due = False

    def exchange(self, commands: bytes, reply_count: int) -> list[Any]:
        """Send commands and read their replies, see `send` and `receive`."""
        self.send(commands)
        return self.receive(reply_count)

    def send(self, commands: bytes) -> None:
        """
        Send commands, and leave the server to work; `receive` is to be called before anything else.

        All bytes go out at once: each call into the socket gives up the interpreter, and waits to get it back.

        Raises one of LINK_ERRORS when the connection breaks, whatever the server has made of the bytes.
        """
        assert not self._is_answer_due, "the replies to what was sent before were not read"
        try:
            self._connection.send_packed_command([commands], check_health=False)
        except BaseException:
            self.close()
            raise
        self._is_answer_due = True

    def receive(self, reply_count: int) -> list[Any]:
        """
        Read this many replies, at least 1, and all of what was sent; an error among them is an exception in the list.

        Raises one of LINK_ERRORS when the connection breaks, whatever the server has made of the bytes.
        """
        if not self._is_answer_due:
            raise RedisConnectionError("the connection broke while something was sent")
        try:
            replies: list[Any] = self._connection._parser.read_batch(reply_count)
        except BaseException:
            self.close()
            raise
        self._is_answer_due = False
        return replies

    def ask(self, *arguments: Argument) -> Any:
        """Send one command and answer its reply; raises the error the server replied with."""
        reply = self.exchange(packed(*arguments), 1)[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Drop the connection, with any replies that are due; the next use opens a new one."""
        self._connection.disconnect()
        self._is_answer_due = False


def open_pool(url: str, timeout_s: float) -> ConnectionPool:
    """
    Read a redis://, rediss:// or unix:// URL; options in its query win.

    redis-py's own retries are off: a write that timed out may have happened, so whoever sends again has to
    look first.
    """
    return ConnectionPool.from_url(
        url,
        parser_class=_BatchParser,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_read_size=_READ_BYTES,
        max_connections=_CONNECTIONS_MAX,
    )


def packed(*arguments: Argument) -> bytes:
    """Render one command as Redis reads it."""
    return hiredis.pack_command(arguments)  # type: ignore[arg-type]  # Its stub forgets the `...`.


def packed_pieces(*arguments: Argument) -> list[bytes]:
    """Render one command in pieces to be joined with others; what is long is not copied for it."""
    words = [one if isinstance(one, bytes) else str(one).encode() for one in arguments]
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        pieces += (b"$%d\r\n" % len(word), word, b"\r\n")
    return pieces


def command_words(commands: bytes, index: int) -> list[bytes]:
    """Answer the words of the command at an index of rendered commands, to name it in an error."""
    reader = hiredis.Reader(notEnoughData=None)
    reader.feed(commands)
    for _ in range(index):
        reader.gets()
    return reader.gets() or []
