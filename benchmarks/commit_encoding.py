"""This file asks which commit is cheaper: MULTI/EXEC rendered by the kernel, or one flat EVALSHA of the same.

Both write the same 500 users in turns to one Valkey, and so does the kernel in chunks as small as the worker's; then
the same users as if all were written whole, field by field and in one piece. CPU time of this process and of the server
is taken.

python -m benchmarks.commit_encoding [--runs N] [--chunks N] [--save FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import hiredis
import numpy as np
import redis

from benchmarks.record import save_record
from config.policy_file import load_policy
from flows.dev.embedded import start_valkey
from scoring.commit_chunks import CHUNK_USERS, part
from scoring.commit_plan import WARM, CommitBlock, CommitChunk
from scoring.policy import Policy
from sinks.keyspace import Keyspace
from sinks.profile_encoder import ProfileEncoder
from sinks.redis_pipe import RedisPipe, open_pool, packed
from sinks.shard_store import ShardStore

USERS = 500
PARTITION = 7
PREFIX = "bench"
# Commands as one flat list: how many words, then the words. Fence and number as the other way has them.
SCRIPT = b"""
local seen = redis.call('HMGET', KEYS[1], 'token', 'number')
if seen[1] ~= ARGV[1] or (seen[2] or '0') ~= ARGV[2] then return 'fenced' end
redis.call('HSET', KEYS[1], 'number', ARGV[3])
local at, last = 4, #ARGV
while at <= last do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return 'done'
"""


def chunk_of(policy: Policy, seed: int) -> CommitChunk:
    """Make users of the shipped policy; one in fifty moves on each ladder."""
    draw, ladders = np.random.default_rng(seed), len(policy.ladders)
    ids = [b"user-%06d" % number for number in range(USERS)]
    sizes = np.array([len(ladder.rungs) for ladder in policy.ladders])
    rung = (np.arange(USERS)[:, None] % sizes).astype(np.int8)
    before = np.where(draw.random(rung.shape) < 0.02, (rung + 1) % sizes, rung).astype(np.int8)

    def times(*shape: int) -> np.ndarray:
        return draw.integers(1_780_000_000_000, 1_790_000_000_000, shape)

    return CommitChunk(
        user_bytes=np.frombuffer(b"".join(ids), dtype=np.uint8).copy(),
        user_start=np.arange(USERS + 1, dtype=np.int64) * len(ids[0]),
        row_bytes=draw.integers(0, 255, USERS * 320).astype(np.uint8),
        row_start=np.arange(USERS + 1, dtype=np.int64) * 320,
        as_of_ms=times(USERS),
        seq=draw.integers(0, 100, USERS),
        first_seen_ms=times(USERS),
        last_seen_ms=times(USERS),
        orders=draw.integers(0, 50, USERS),
        spend_minor=draw.integers(0, 10**7, USERS),
        rung=rung,
        committed_rung=before,
        whole=(before != rung).any(axis=1),
        since_ms=times(USERS, ladders),
        score=draw.random((USERS, ladders)) * 100,
        falls_at_ms=np.where(rung > 0, times(USERS, ladders), 2**63 - 1),
        home=np.full(USERS, WARM, np.int8),
        committed_home=np.full(USERS, WARM, np.int8),
        cold=None,
        changes=[],
        dead_letters=[],
    )


def block_of(users: CommitChunk) -> CommitBlock:
    """Cut users into chunks as small as the worker's, as if all were written whole."""
    start = np.arange(0, USERS + 1, CHUNK_USERS[0])
    chunks = [part(users, first, last, None) for first, last in pairwise(start.tolist())]
    return CommitBlock(users, start, [0] * len(start), chunks)


def flat_arguments(encoded: memoryview) -> tuple[bytes, int]:
    """Turn rendered commands into the script's arguments: for each its number of words, then the words."""
    reader = hiredis.Reader(notEnoughData=None)
    reader.feed(bytes(encoded))
    words: list[bytes] = []
    while (command := reader.gets()) is not None:
        words += [b"%d" % len(command), *command]
    return packed(*words).partition(b"\r\n")[2], len(words)


class Ways:
    """The same chunk, written in several ways."""

    def __init__(self, url: str, policy: Policy) -> None:
        self._store = ShardStore(url, PREFIX, ("orders",))
        self._encoder, self._chunk = ProfileEncoder(policy, PREFIX, PARTITION), chunk_of(policy, 1)
        self._block = block_of(self._chunk)
        self._everybody_whole = replace(self._chunk, whole=np.ones(USERS, np.bool_))
        self._restorer = ProfileEncoder(policy, PREFIX, PARTITION, restores=True)
        self._claim = self._store.claim(PARTITION)
        # The script guards a shard of its own: the store would take its writes for another worker's.
        self._script_claim = self._store.claim(PARTITION + 1)
        self._meta = Keyspace(PREFIX).meta(PARTITION + 1)
        self._pipe = RedisPipe(open_pool(url, 5.0))
        self._digest = self._pipe.ask("SCRIPT", "LOAD", SCRIPT)
        encoded, self.command_count = self._encoder.encode(self._chunk)
        self.size = len(encoded)
        self._arguments, self._argument_count = flat_arguments(encoded)

    def encode(self) -> None:
        """Render only."""
        self._encoder.encode(self._chunk)

    def encode_block(self) -> None:
        """Render the same users in chunks of the worker's size."""
        self._encoder.encode_block(self._block)

    def write_block(self) -> None:
        """Render and write them so, as the worker does."""
        for commands, count in self._encoder.encode_block(self._block):
            self._store.write_chunk(self._claim, commands, count)

    def multi_exec(self) -> None:
        """Render and write all in one chunk."""
        self._store.write_chunk(self._claim, *self._encoder.encode(self._chunk))

    def whole_by_fields(self) -> None:
        """Render and write all profiles whole, by HSET."""
        self._store.write_chunk(self._claim, *self._encoder.encode(self._everybody_whole))

    def whole_in_one_piece(self) -> None:
        """Render and write all profiles whole, by RESTORE."""
        self._store.write_chunk(self._claim, *self._restorer.encode(self._everybody_whole))

    def evalsha(self) -> None:
        """Render, then send the script's arguments, as if the kernel had rendered those."""
        self._encoder.encode(self._chunk)
        number = self._script_claim.number
        head = packed("EVALSHA", self._digest, 1, self._meta, self._script_claim.token, number, number + 1)
        count = b"*%d\r\n" % (7 + self._argument_count)
        script = b"".join((count, head.partition(b"\r\n")[2], self._arguments))
        reply = self._pipe.exchange(script, 1)
        assert reply == [b"done"], reply
        self._script_claim.number = number + 1

    def close(self) -> None:
        """Close the connections."""
        self._store.close()
        self._pipe.close()


def server_cpu_seconds(client: redis.Redis) -> float:
    """Read the CPU time the server has used."""
    cpu = client.info("cpu")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"]


def cost(run: Callable[[], None], client: redis.Redis, chunks: int) -> dict[str, float]:
    """Answer microseconds per user."""
    server_s, client_s, wall_s = server_cpu_seconds(client), time.process_time(), time.perf_counter()
    for _ in range(chunks):
        run()
    ends = {"client": time.process_time() - client_s, "wall": time.perf_counter() - wall_s}
    ends["server"] = server_cpu_seconds(client) - server_s
    return {what: 1e6 * seconds / chunks / USERS for what, seconds in ends.items()}


def ratios_of(found: dict[str, list[float]], one: str, other: str) -> dict[str, float]:
    """Answer, and print, how much of the other's medians one way takes."""
    ratios = {
        what: median(found[f"{one} {what}"]) / median(found[f"{other} {what}"])
        for what in ("client", "server", "wall")
    }
    print(f"{one} / {other}:", ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items()))
    return ratios


def main() -> None:
    """Measure in turns; print medians, spreads and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="timed runs of each way [9]")
    parser.add_argument("--chunks", type=int, default=40, help="chunks a run [40]")
    parser.add_argument("--save", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    policy = load_policy(Path("config/policies/ecommerce.yaml"))
    found: dict[str, list[float]] = {}
    with start_valkey() as server, redis.Redis.from_url(server.url) as client:
        ways = Ways(server.url, policy)
        for run in range(options.runs + 1):  # The first round warms up.
            for way in (
                *(ways.encode, ways.encode_block, ways.write_block, ways.multi_exec, ways.evalsha),
                *(ways.whole_by_fields, ways.whole_in_one_piece),
            ):
                for what, value in cost(way, client, options.chunks).items():
                    if run:
                        found.setdefault(f"{way.__name__} {what}", []).append(value)
        ways.close()
    for name, values in found.items():
        print(f"{name:<20} {median(values):7.3f} us per user  ({min(values):.3f} to {max(values):.3f})")
    ratios = ratios_of(found, "evalsha", "multi_exec")
    one_piece_ratios = ratios_of(found, "whole_in_one_piece", "whole_by_fields")
    print(f"{ways.size / USERS:.0f} bytes a user, {ways.command_count} commands a chunk of {USERS}")
    save_record(
        options.save,
        {
            "settings": {
                "runs": options.runs,
                "chunks": options.chunks,
                "users": USERS,
                "policy": policy.label,
            },
            "us_per_user": found,
            "ratios": ratios,
            "one_piece_ratios": one_piece_ratios,
        },
    )


if __name__ == "__main__":
    main()
