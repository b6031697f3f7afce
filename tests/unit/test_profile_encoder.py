"""This file proves the rendering kernels against a slow twin, byte for byte."""

import json
from typing import Any

import hiredis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.commit_chunks import part
from scoring.commit_plan import COLD, NOWHERE, WARM, ColdCount, CommitBlock, CommitChunk
from scoring.policy import Ladder, Policy, Rung
from sinks import keyspace
from sinks.keyspace import ABSENT_MS, Keyspace, points_text
from sinks.profile_encoder import ProfileEncoder, Room
from tests.redis_dump import dump

INT64 = np.iinfo(np.int64)
LADDERS = (
    Ladder(
        "tier", "s", (Rung("bronze", -np.inf, -np.inf), Rung("silver", 20.0, 16.0), Rung("gold", 50.0, 40.0))
    ),
    Ladder("aipl", "s", (Rung("low", -np.inf, -np.inf), Rung("high", 1.5, 1.0))),
    Ladder("only", "s", (Rung("one", -np.inf, -np.inf),)),
    Ladder("shopper", "s", (Rung("off", -np.inf, -np.inf), Rung("on", 5.0, 4.0)), tag=True),
    Ladder("bargain", "s", (Rung("off", -np.inf, -np.inf), Rung("on", 5.0, 4.0)), tag=True),
)


def policy_of(ladders: tuple[Ladder, ...] = LADDERS, minor_digits: int = 2, version: int = 3) -> Policy:
    """Make a policy of ladders; the encoder looks at nothing else."""
    return Policy("shop", version, "EUR", minor_digits, "UTC", (), (), (), ladders)


def chunk_of(users: list[dict[str, Any]], ladders: int, cold: ColdCount | None = None) -> CommitChunk:
    """Turn users into the columns of a chunk."""

    def starts(pieces: list[bytes]) -> np.ndarray:
        return np.concatenate(([0], np.cumsum([len(piece) for piece in pieces]))).astype(np.int64)

    def column(name: str, dtype: type, per_ladder: bool = False) -> np.ndarray:
        values = np.array([user[name] for user in users], dtype=dtype)
        return values.reshape((len(users), ladders) if per_ladder else (len(users),))

    ids, rows = [user["id"] for user in users], [user["row"] for user in users]
    return CommitChunk(
        user_bytes=np.frombuffer(b"".join(ids), dtype=np.uint8),
        user_start=starts(ids),
        row_bytes=np.frombuffer(b"".join(rows), dtype=np.uint8),
        row_start=starts(rows),
        rung=column("rung", np.int8, True),
        committed_rung=column("committed_rung", np.int8, True),
        whole=column("whole", np.bool_),
        since_ms=column("since_ms", np.int64, True),
        score=column("score", np.float64, True),
        falls_at_ms=column("falls_at_ms", np.int64, True),
        home=column("home", np.int8),
        committed_home=column("committed_home", np.int8),
        cold=cold,
        changes=[],
        dead_letters=[],
        **{name: column(name, np.int64) for name in NUMBERS},
    )


NUMBERS = ("as_of_ms", "last_seen_ms", "orders", "spend_minor", "seq", "first_seen_ms")


class Twin:
    """Render the same commands in slow, obvious Python."""

    def __init__(
        self,
        policy: Policy,
        prefix: str,
        partition: int,
        former: Policy | None = None,
        *,
        restores: bool = False,
    ) -> None:
        self.policy, self.former, self.partition, self.restores = policy, former, partition, restores
        self.keys = Keyspace(prefix)

    def commands(self, users: list[dict[str, Any]], cold: ColdCount | None = None) -> list[list[bytes]]:
        """Answer rows, profiles, then moves: leaving, retiring, entering; then the counts of cold users."""
        if not users:
            return []
        commands = self.rows(users)
        for user in users:
            commands += self.profile(user)
        if cold is not None:
            counted = b'{"layout":"%x","rungs":%b}' % (
                cold.layout,
                json.dumps(cold.rungs).replace(" ", "").encode(),
            )
            return [
                *commands,
                *self.moves(users),
                [b"HSET", self.keys.meta(self.partition), b"cold", counted],
            ]
        return commands + self.moves(users)

    def rows(self, users: list[dict[str, Any]]) -> list[list[bytes]]:
        commands = []
        for home, key in ((WARM, self.keys.rows(self.partition)), (COLD, self.keys.cold(self.partition))):
            rows = [piece for user in users if user["home"] == home for piece in (user["id"], user["row"])]
            left = [user["id"] for user in users if user["committed_home"] == home != user["home"]]
            commands += [[b"HSET", key, *rows]] if rows else []
            commands += [[b"HDEL", key, *left]] if left else []
        return commands

    def profile(self, user: dict[str, Any]) -> list[list[bytes]]:
        places = [(number, ladder) for number, ladder in enumerate(self.policy.ladders) if not ladder.tag]
        present = {name: str(user[name]) for name in NUMBERS[:3]}
        present["spend"] = keyspace.decimal_text(user["spend_minor"], self.policy.minor_digits)
        for number, ladder in places:
            present |= self.moving(user, number, ladder)
        if user["whole"]:
            for number, ladder in places:
                present |= self.staying(user, number, ladder)
            present |= {"policy": self.policy.label, "v": "1", "shard": str(self.partition)}
            present |= {name: str(user[name]) for name in NUMBERS[4:]}
            present["tags"] = self.tags(user)
        absent = [name for number, ladder in places for name in self.absent(user, number, ladder)]
        if self.former and user["whole"]:
            absent += sorted(self.fields(self.former) - self.fields(self.policy))
        key = self.keys.user(user["id"])
        if self.restores and user["whole"]:
            fields = {name.encode(): value.encode() for name, value in present.items()}
            return [[b"RESTORE", key, b"0", dump(fields), b"REPLACE"]]
        pairs = [word.encode() for pair in present.items() for word in pair]
        commands = [[b"HSET", key, *pairs]]
        if absent and user["committed_home"] != NOWHERE:
            commands.append([b"HDEL", key, *(name.encode() for name in absent)])
        return commands

    def tags(self, user: dict[str, Any]) -> str:
        ladders = enumerate(self.policy.ladders)
        return ",".join(sorted(one.name for n, one in ladders if one.tag and user["rung"][n] == 1))

    def moving(self, user: dict[str, Any], number: int, ladder: Ladder) -> dict[str, str]:
        rank, score, falls_at = user["rung"][number], user["score"][number], user["falls_at_ms"][number]
        present = {f"{ladder.name}.score": points_text(score)}
        if rank + 1 < len(ladder.rungs):
            missing = max(ladder.rungs[rank + 1].enter_at - score, 0.0)
            present[f"{ladder.name}.to_next"] = points_text(missing)
        if falls_at != ABSENT_MS:
            present[f"{ladder.name}.falls_at_ms"] = str(falls_at)
        return present

    def staying(self, user: dict[str, Any], number: int, ladder: Ladder) -> dict[str, str]:
        rank, name = user["rung"][number], ladder.name
        present = {name: ladder.rungs[rank].name, f"{name}.rank": str(rank)}
        if rank + 1 < len(ladder.rungs):
            present[f"{name}.next"] = ladder.rungs[rank + 1].name
        return present | {f"{name}.since_ms": str(user["since_ms"][number])}

    def absent(self, user: dict[str, Any], number: int, ladder: Ladder) -> list[str]:
        rank, names = user["rung"][number], []
        if user["whole"] and rank + 1 == len(ladder.rungs):
            names += [f"{ladder.name}.next", f"{ladder.name}.to_next"]
        if user["falls_at_ms"][number] == ABSENT_MS and (user["whole"] or rank > 0):
            names.append(f"{ladder.name}.falls_at_ms")
        return names

    def moves(self, users: list[dict[str, Any]]) -> list[list[bytes]]:
        known = [[-1] * len(user["rung"]) if self.former else user["committed_rung"] for user in users]
        leaving, entering = [], []
        for (number, rank), key in self.sets(self.policy).items():
            left = [
                user["id"]
                for user, before in zip(users, known, strict=True)
                if before[number] == rank != user["rung"][number]
            ]
            came = [
                user["id"]
                for user, before in zip(users, known, strict=True)
                if before[number] != rank == user["rung"][number]
            ]
            leaving += [[b"SREM", key, *left]] if left else []
            entering += [[b"SADD", key, *came]] if came else []
        return leaving + self.retirements(users) + entering

    def retirements(self, users: list[dict[str, Any]]) -> list[list[bytes]]:
        if self.former is None:
            return []
        today = {key: place for place, key in self.sets(self.policy).items()}
        commands = []
        for key in dict.fromkeys((*self.sets(self.former).values(), *today)):
            number, rank = today.get(key, (None, None))
            gone = [user["id"] for user in users if number is None or user["rung"][number] != rank]
            commands += [[b"SREM", key, *gone]] if gone else []
        return commands

    def sets(self, policy: Policy) -> dict[tuple[int, int], bytes]:
        return {
            (number, rank): self.keys.audience(ladder.name, rung.name)
            for number, ladder in enumerate(policy.ladders)
            for rank, rung in enumerate(ladder.rungs)
            if not ladder.tag or rank == 1
        }

    def fields(self, policy: Policy) -> set[str]:
        names = [keyspace.ladder_fields(ladder.name) for ladder in policy.ladders if not ladder.tag]
        return {field for fields in names for field in fields}


def packed(commands: list[list[bytes]]) -> bytes:
    """Render commands by another hand than ours."""
    return b"".join(hiredis.pack_command(tuple(command)) for command in commands)


times = st.one_of(st.integers(0, 2**45), st.sampled_from([INT64.min + 1, -1, 0, INT64.max - 1]))
counts = st.one_of(st.integers(0, 10**6), st.sampled_from([INT64.min + 1, INT64.max]))
scores = st.one_of(
    st.floats(-1e4, 1e4),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([20.0, 50.0 - 1e-10, 0.0, -0.0, 1e-7, 99.9999995, 9e9, 2.0**53 / 1e6]),
)

cold_counts = st.sampled_from([None, ColdCount(1 << 50, [[10**12, 0, 7], [1, 2]]), ColdCount(1, [[3]])])


@st.composite
def users(draw: st.DrawFn, ladders: tuple[Ladder, ...] = LADDERS) -> dict[str, Any]:
    """Draw one user with everything at its limits now and then."""
    ranks = [draw(st.integers(0, len(ladder.rungs) - 1)) for ladder in ladders]
    is_new = draw(st.booleans())
    before = [-1 if is_new else draw(st.integers(0, len(ladder.rungs) - 1)) for ladder in ladders]
    many = {"min_size": len(ladders), "max_size": len(ladders)}
    return {
        "id": draw(st.one_of(st.binary(min_size=1, max_size=256), st.just(b"x" * 256))),
        "row": draw(st.binary(max_size=300)),
        "rung": ranks,
        "committed_rung": before,
        "home": draw(st.sampled_from([WARM, COLD])),
        "committed_home": NOWHERE if is_new else draw(st.sampled_from([WARM, COLD])),
        "whole": draw(st.booleans()),
        "since_ms": draw(st.lists(times, **many)),
        "score": draw(st.lists(scores, **many)),
        "falls_at_ms": draw(st.lists(st.one_of(times, st.just(ABSENT_MS)), **many)),
        **{name: draw(times if name.endswith("_ms") else counts) for name in NUMBERS},
    }


@settings(max_examples=150, deadline=None)
@given(
    st.lists(users(), max_size=8),
    st.integers(0, 4),
    st.sampled_from([0, 7, 123]),
    cold_counts,
    st.booleans(),
)
def test_encoder__equals_the_slow_twin(
    chunk: list[dict[str, Any]], digits: int, partition: int, cold: ColdCount | None, restores: bool
) -> None:
    """Any users give the same commands, byte for byte, as plain Python renders."""
    policy = policy_of(minor_digits=digits)
    expected = Twin(policy, "tierwise", partition, restores=restores).commands(chunk, cold)
    columns = chunk_of(chunk, len(LADDERS), cold)
    encoded, count = ProfileEncoder(policy, "tierwise", partition, restores=restores).encode(columns)
    assert bytes(encoded) == packed(expected)
    assert count == len(expected)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(users(), min_size=1, max_size=4), cold_counts), min_size=1, max_size=6))
def test_encoder__renders_each_chunk_of_a_block_as_if_it_were_alone(
    chunks: list[tuple[list[dict[str, Any]], ColdCount | None]],
) -> None:
    """Chunks in the same columns come out one by one, each with its own moves and its own count at the end."""
    everybody = [user for chunk, _ in chunks for user in chunk]
    start = np.cumsum([0, *(len(chunk) for chunk, _ in chunks)])
    parts = [chunk_of(chunk, len(LADDERS), cold) for chunk, cold in chunks]
    block = CommitBlock(chunk_of(everybody, len(LADDERS)), start, [0] * len(start), parts)
    found = ProfileEncoder(policy_of(), "tierwise", 7).encode_block(block)
    expected = [Twin(policy_of(), "tierwise", 7).commands(*chunk) for chunk in chunks]
    assert [bytes(encoded) for encoded, _ in found] == [packed(commands) for commands in expected]
    assert [count for _, count in found] == [len(commands) for commands in expected]


@settings(max_examples=50, deadline=None)
@given(st.lists(users(), min_size=1, max_size=6), st.booleans())
def test_encoder__after_a_policy_change_nothing_of_the_former_is_left(
    chunk: list[dict[str, Any]], restores: bool
) -> None:
    """Under a changed policy users leave every set and lose every field that only the former one had."""
    former = policy_of(
        (
            Ladder(
                "tier",
                "s",
                (Rung("bronze", -np.inf, -np.inf), Rung("iron", 5.0, 4.0), Rung("gold", 9.0, 8.0)),
            ),
            Ladder("mood", "s", (Rung("bad", -np.inf, -np.inf), Rung("good", 5.0, 4.0))),
            Ladder("shopper", "s", (Rung("off", -np.inf, -np.inf), Rung("on", 5.0, 4.0))),
        ),
        version=2,
    )
    expected = Twin(policy_of(), "p", 1, former, restores=restores).commands(chunk)
    encoder = ProfileEncoder(policy_of(), "p", 1, former, restores=restores)
    encoded, count = encoder.encode(chunk_of(chunk, len(LADDERS)))
    assert bytes(encoded) == packed(expected)
    assert count == len(expected)


def random_users(count: int, seed: int = 5) -> list[dict[str, Any]]:
    """Make many users of ordinary size."""
    draw = np.random.default_rng(seed)
    ranks = [len(ladder.rungs) for ladder in LADDERS]
    return [
        {
            "id": b"user-%d" % number,
            "row": draw.bytes(280),
            "rung": [int(draw.integers(0, size)) for size in ranks],
            "committed_rung": [int(draw.integers(0, size)) if number % 3 else -1 for size in ranks],
            "home": int(draw.integers(WARM, COLD + 1)),
            "committed_home": int(draw.integers(WARM, COLD + 1)) if number % 3 else NOWHERE,
            "whole": True,
            "since_ms": draw.integers(0, 2**41, len(ranks)).tolist(),
            "score": (draw.random(len(ranks)) * 100).tolist(),
            "falls_at_ms": [
                int(draw.integers(0, 2**41)) if draw.random() < 0.7 else ABSENT_MS for _ in ranks
            ],
            **{name: int(draw.integers(0, 2**41)) for name in NUMBERS},
        }
        for number in range(count)
    ]


def test_encoder__renders_full_chunks_and_reuses_the_room() -> None:
    """Five hundred users are exact, and a smaller chunk after them, of another shard, has nothing of theirs."""
    room = Room()
    for count, partition in ((500, 7), (3, 8), (2_000, 7), (20, 7)):
        chunk = random_users(count, seed=count)
        columns = chunk_of(chunk, len(LADDERS))
        block = CommitBlock(columns, np.array([0, count]), [0, 0], [columns])
        for restores in (False, True):
            encoder = ProfileEncoder(policy_of(), "tierwise", partition, restores=restores)
            ((encoded, commands),) = encoder.encode_block(block, room)
            expected = Twin(policy_of(), "tierwise", partition, restores=restores).commands(chunk)
            assert bytes(encoded) == packed(expected)
            assert commands == len(expected)


@pytest.mark.parametrize("tags", [63, 64])
def test_encoder__writes_by_fields_what_no_item_holds(tags: int) -> None:
    """As many tags as may be on together without being too long for RESTORE, and one more."""
    ladders = tuple(
        Ladder(f"{n:064d}", "s", (Rung("off", -np.inf, -np.inf), Rung("on", 5.0, 4.0)), tag=True)
        for n in range(tags)
    )
    everybody = {
        "rung": [1] * tags,
        "committed_rung": [-1] * tags,
        "since_ms": [0] * tags,
        "score": [5.0] * tags,
    }
    chunk = [user | everybody | {"falls_at_ms": [0] * tags} for user in random_users(3)]
    policy = policy_of(ladders)
    expected = Twin(policy, "tierwise", 7, restores=tags == 63).commands(chunk)
    encoded, _ = ProfileEncoder(policy, "tierwise", 7, restores=True).encode(chunk_of(chunk, tags))
    assert bytes(encoded) == packed(expected)


def test_encoder__names_the_profiles_of_new_users() -> None:
    """Users without a committed rung are new; only their keys are answered, of a part of a block those in the part."""
    encoder, chunk = ProfileEncoder(policy_of(), "tierwise", 7), chunk_of(random_users(6), len(LADDERS))
    assert encoder.new_user_keys(chunk) == (b"tierwise:user:user-0", b"tierwise:user:user-3")
    assert encoder.new_user_keys(part(chunk, 1, 4, None)) == (b"tierwise:user:user-3",)


@pytest.mark.parametrize("rank", [-1, 3])
def test_encoder__refuses_a_rung_outside_its_ladder(rank: int) -> None:
    """No kernel looks for the ends of its tables, so a wrong rung stops before them."""
    chunk = random_users(2)
    chunk[1]["rung"][0] = rank
    with pytest.raises(AssertionError):
        ProfileEncoder(policy_of(), "tierwise", 7).encode(chunk_of(chunk, len(LADDERS)))
