"""That docs/conformance/reader.json holds: for the state that the code writes, its reader, and plain commands."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from config.policy_file import load_policy
from flows.dev.embedded import ValkeyServer
from sinks.profile_encoder import ProfileEncoder
from sinks.profile_reader import Answer, LadderStanding, ProfileReader
from sinks.shard_store import ShardStore
from tests.integration.worker_process import POLICY
from tests.unit.docs_examples import ROOT, example, scored

Command = list[str]

CONFORMANCE: dict[str, Any] = json.loads(
    (ROOT / "docs" / "conformance" / "reader.json").read_text(encoding="utf-8")
)
ROUND_TRIPS: list[dict[str, Any]] = CONFORMANCE["commands"]
USERS: list[dict[str, Any]] = CONFORMANCE["users"]
T0 = 1_795_248_000_000  # 2026-11-21T08:00:00Z, when the README's event happens.
DEADLINE_S = 20


def under(prefix: str, command: Command) -> Command:
    """Put a command's keys under the prefix of a test."""
    return [
        word.replace("tierwise:", f"{prefix}:", 1) if word.startswith("tierwise:") else word
        for word in command
    ]


def round_trip(store: redis.Redis, commands: list[Command]) -> list[Any]:
    """Send commands in one go and answer what came back, as RESP has it."""
    pool: Any = store.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [text_of(connection.read_response()) for _ in commands]
    finally:
        pool.release(connection)


def text_of(reply: Any) -> Any:
    """Decode the texts of a reply; RESP3 has maps and sets, which RESP2 writes as lists."""
    if isinstance(reply, dict):
        return [text_of(item) for pair in reply.items() for item in pair]
    if isinstance(reply, list | set):
        return [text_of(item) for item in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def as_expected(kind: str, reply: Any) -> Any:
    """Give a raw reply the form of an expectation."""
    match kind:
        case "map":
            return dict(zip(reply[::2], reply[1::2], strict=True))
        case "set":
            return sorted(reply)
        case "null":
            return reply is None
    assert isinstance(reply, {"list": list, "integer": int, "text": str}[kind]), reply
    return reply


@pytest.fixture
def loaded(store: redis.Redis, prefix: str) -> redis.Redis:
    """Load the state of the file, with what a later release adds."""
    for command in CONFORMANCE["load"] + CONFORMANCE["load_later"]:
        store.execute_command(*under(prefix, command))
    return store


def story() -> list[dict[str, Any]]:
    """List the events that the state comes from."""

    def event(number: int, user_id: str, kind: str, at_ms: int, **more: str) -> dict[str, Any]:
        return {"event_id": f"evt-{number}", "user_id": user_id, "type": kind, "event_time": at_ms, **more}

    def order(number: int, user_id: str, at_ms: int, amount: str) -> dict[str, Any]:
        return event(number, user_id, "order_paid", at_ms, order_id=f"ord-{number}", amount=amount)

    return [
        order(1, "u-gone", 1_767_225_600_000, "268.00"),
        event(2, "u-new", "page_view", T0 - 5_000),
        order(3, "u-top", T0 - 4_000, "19999.00"),
        *(order(10 + number, "u-top", T0 - 4_000 + number, "9999.00") for number in range(6)),
        *(event(30 + number, "u-top", "add_to_cart", T0 - 3_000 + number) for number in range(60)),
        event(4, '{07}:ü "x"', "favorite", T0 - 2_000),
        json.loads(example("README.md", "event")),
    ]


def contents(store: redis.Redis, prefix: str) -> dict[str, Any]:
    """Read all profiles and audiences under a prefix."""
    found: dict[str, Any] = {}
    for kind in ("user", "audience"):
        for key in store.scan_iter(f"{prefix}:{kind}:*", count=1_000):
            read = store.hgetall if kind == "user" else store.smembers
            found[key.decode().removeprefix(prefix)] = read(key)
    return found


def test_state__is_what_the_code_writes(shards: ShardStore, store: redis.Redis, prefix: str) -> None:
    """The engine and the encoder make of the story's events exactly the state of the file."""
    policy, other = load_policy(POLICY), f"{prefix}file"
    plan, _ = scored(policy, story(), until_ms=None)
    encoder, claim = ProfileEncoder(policy, prefix, 0), shards.claim(0)
    for chunk in plan.chunks:
        shards.write_chunk(claim, *encoder.encode(chunk), new_user_keys=encoder.new_user_keys(chunk))
    for command in CONFORMANCE["load"]:
        store.execute_command(*under(other, command))
    assert contents(store, prefix) == contents(store, other)
    assert len(contents(store, other)) == len(CONFORMANCE["load"])


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("case", ROUND_TRIPS, ids=lambda case: case["says"])
def test_commands__are_answered_as_expected(
    valkey: ValkeyServer, prefix: str, case: dict[str, Any], protocol: int
) -> None:
    """Plain commands give what the file says, in one round trip an entry, by RESP2 and RESP3."""
    with redis.Redis.from_url(valkey.url, protocol=protocol) as client:
        replies = round_trip(client, [under(prefix, command) for command in case["send"]])
    shaped = [{kind: as_expected(kind, reply)} for [kind], reply in zip(case["expect"], replies, strict=True)]
    assert shaped == case["expect"]


def standing(found: LadderStanding) -> dict[str, Any]:
    """Spell a standing as the file does: what is absent is left out."""
    spelt = {
        "rung": found.rung, "rank": found.rank, "since_ms": found.since_ms, "score": found.score,
        "next": found.next_rung, "to_next": found.points_to_next, "falls_at_ms": found.falls_at_ms,
    }  # fmt: skip
    return {name: value for name, value in spelt.items() if value is not None}


def spelt(found: Answer) -> dict[str, Any]:
    """Spell an answer as the file does."""
    said: dict[str, Any] = {"user_id": found.user_id, "answer": found.status}
    if found.age_ms:
        said["age_ms"] = found.age_ms
    if profile := found.profile:
        said |= {
            "seq": profile.seq,
            "orders": profile.orders,
            "spend": profile.spend,
            "tags": list(profile.tags),
            "ladders": {name: standing(ladder) for name, ladder in profile.ladders.items()},
        }
    return said


def test_our_reader__answers_as_expected(loaded: redis.Redis, valkey: ValkeyServer, prefix: str) -> None:
    """ProfileReader knows whom the file knows, does not know the others, and passes over a later field."""
    stale_after_ms, now_ms = CONFORMANCE["stale_after_ms"], CONFORMANCE["now_ms"]
    with ProfileReader(valkey.url, prefix, stale_after_ms=stale_after_ms) as reader:
        answers = reader.answers((user["user_id"] for user in USERS), now_ms)
        assert [spelt(answer) for answer in answers] == USERS
        assert reader.answers([]) == []
        for word, key, *members in CONFORMANCE["load"]:
            if word == "SADD":
                assert sorted(reader.audience(*key.split(":")[2:])) == members
    assert {user["answer"] for user in USERS} == {"known", "unknown", "stale"}


def test_our_reader__judges_by_the_clock(loaded: redis.Redis, valkey: ValkeyServer, prefix: str) -> None:
    """Whose fall was due long ago is stale now; a reader that waits longer still takes the profile as it is."""
    with ProfileReader(valkey.url, prefix) as reader:
        found = reader.answer("u-gone")
        assert found.status == "stale"
        assert found.age_ms > USERS[-1]["age_ms"] - 1
        assert reader.answer("u-never-seen") == Answer("u-never-seen", "unknown")
    with ProfileReader(valkey.url, prefix, stale_after_ms=2 * found.age_ms) as reader:
        assert reader.answer("u-gone").status == "known"


def test_our_reader__needs_neither_kernels_nor_dataflow() -> None:
    """An app that imports the reader loads nothing that compiles, and no broker."""
    heavy = ("bytewax", "confluent_kafka", "llvmlite", "numba", "numpy")
    code = f"import sys, sinks.profile_reader; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def shell_lines() -> Iterator[tuple[Command, list[str]]]:
    """List the calls of redis-cli in the contract, with the answers behind them."""
    for line in example("docs/contract.md", "redis-cli").splitlines():
        call, _, shown = line.partition("#")
        yield call.split(), shown.split()


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli here")
def test_redis_cli__shows_what_the_contract_says(
    loaded: redis.Redis, valkey: ValkeyServer, prefix: str
) -> None:
    """Each line of the page, run as it stands there, prints what is written behind it."""
    for [program, *command], shown in shell_lines():
        ran = subprocess.run(
            [program, "-p", str(valkey.port), *under(prefix, command)],
            capture_output=True, text=True, check=True, timeout=DEADLINE_S,
        )  # fmt: skip
        assert ran.stdout.split() == shown, command


def page_code(label: str, valkey: ValkeyServer, prefix: str) -> str:
    """Answer a reader of the page, made to look at our store and prefix."""
    code = example("docs/contract.md", label)
    shown = {"6379": str(valkey.port), "localhost": "127.0.0.1"}
    for name, real in shown.items():
        assert code.count(name) == 1
        code = code.replace(name, real)
    return code.replace('"tierwise"', f'"{prefix}"').replace("tierwise:user", f"{prefix}:user")


def printed(command: list[str], **more: Any) -> list[str]:
    """Run a program to its good end; answer the lines it printed."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, **more)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def fields_of(store: redis.Redis, prefix: str, user_id: str) -> dict[str, str]:
    """Read a user's fields."""
    found = store.hgetall(f"{prefix}:user:{user_id}")
    return {name.decode(): value.decode() for name, value in found.items()}


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_node__reads_what_the_file_says(
    loaded: redis.Redis, valkey: ValkeyServer, prefix: str, tmp_path: Path
) -> None:
    """The page's reader gives every user's fields, and null for one who is unknown, in the order asked."""
    script = tmp_path / "profiles.mjs"
    script.write_text(page_code("node", valkey, prefix), encoding="utf-8")
    asked = [user["user_id"] for user in USERS] * 40  # So that the answers come in several pieces.
    assert [json.loads(line) for line in printed(["node", str(script), *asked])] == [
        [user_id, fields_of(loaded, prefix, user_id) or None] for user_id in asked
    ]


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK here")
def test_java__reads_what_the_file_says(
    loaded: redis.Redis, valkey: ValkeyServer, prefix: str, tmp_path: Path
) -> None:
    """The page's reader gives every user's fields, and null for one who is unknown, in the order asked."""
    program = tmp_path / "Profiles.java"
    program.write_text(page_code("java", valkey, prefix), encoding="utf-8")
    asked = [user["user_id"] for user in USERS] * 40

    def line(user_id: str) -> str:
        fields = ", ".join(
            f"{name}={value}" for name, value in sorted(fields_of(loaded, prefix, user_id).items())
        )
        return f"{user_id}\t{{{fields}}}" if fields else f"{user_id}\tnull"

    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}
    assert printed(["java", "-Dfile.encoding=UTF-8", str(program), *asked], env=utf8) == [
        line(one) for one in asked
    ]


def test_python__tells_three_answers_apart(
    loaded: redis.Redis, valkey: ValkeyServer, prefix: str, tmp_path: Path
) -> None:
    """The page's few lines say what is known, and of whom nothing is."""
    u42, tomorrow_ms = f"{prefix}:user:u42", (time.time_ns() // 1_000_000) + 86_400_000
    ahead = [name for name in loaded.hkeys(u42) if name.endswith(b".falls_at_ms")]
    loaded.hset(u42, mapping=dict.fromkeys(ahead, tomorrow_ms))  # This reader goes by the real clock.
    script = tmp_path / "profiles.py"
    script.write_text(page_code("python-reader", valkey, prefix), encoding="utf-8")
    assert printed([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}) == [
        "u42 silver",
        "u-never-seen is unknown",
        "u-gone should have fallen already",
    ]
