"""A thousand hostile messages among a hundred thousand good ones. This file shows that they harm nobody."""

import json
import random
import time
from collections import Counter
from datetime import datetime
from itertools import count, islice
from typing import Any

import yaml

from config.policy_file import parse_policy
from flows.dev.generator import Message
from tests.conftest import Topics
from tests.integration.bench import Place
from tests.integration.hostile import EVENT_BYTES_MAX, ODD_IDS, Hostile, hostile
from tests.integration.outcome import assert_same, read_all
from tests.integration.site import Site, assert_conserved, expected_in_parallel

GOOD, USERS, HOSTILE = 100_000, 20_000, 1_000
START_MS, STEP_MS = 1_788_220_800_000, 7_000
KNOWN_USER = "known"
HEADERS = ["reason", "detail", "topic", "partition", "offset", "failed_at"]

POLICY = """
policy: plain
version: 1
currency: EUR
timezone: UTC
events: {visit: {}, buy: {order: true}, refund: {refund: true}}
features:
  warmth: {kind: decayed, half_life: 2d, weights: {visit: 10, buy: 25}}
  spent: {kind: total, of: amount, events: [buy]}
scores:
  mood: {parts: {warmth: [[0, 0], [100, 100]]}}
  money: {parts: {spent: [[0, 0], [1000, 1000]]}}
ladders:
  visitors: {score: mood, margin: 0.2, rungs: [{name: seldom}, {name: often, enter_at: 70}]}
  buyers: {score: money, rungs: [{name: none}, {name: some, enter_at: 0.01}, {name: more, enter_at: 80}]}
"""


def good_messages() -> list[Message]:
    """Write a hundred thousand good events in order of time, some users with ids that look like trouble."""
    draw = random.Random(3)
    users = [*ODD_IDS, *(f"u{number}" for number in range(USERS - len(ODD_IDS)))]
    messages = []
    for number in range(GOOD):
        at_ms = START_MS + number * STEP_MS
        user_id = users[number] if number < len(users) else draw.choice(users)
        kind = "buy" if number < len(ODD_IDS) else draw.choice(("visit", "visit", "buy"))
        event: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": user_id,
            "type": kind,
            "event_time": at_ms,
        }
        if kind == "buy":
            event |= {"order_id": f"o{number}", "amount": draw.randrange(1, 10_000) / 100}
        text = json.dumps(event, ensure_ascii=bool(number % 2)).encode()
        if number % 1_000 == 0:  # Twice the same key: the last one counts, as in any JSON library.
            text = b'{"user_id": "somebody else", ' + text[1:]
        messages.append(Message("clickstream", user_id.encode(), text, at_ms))
    return messages


def stream() -> tuple[list[Message], Counter[str]]:
    """Mix good and hostile messages; also count the hostile ones by reason."""
    good, mixed = good_messages(), []
    every, reasons = GOOD // HOSTILE, Counter[str]()
    bad: list[Hostile] = []
    numbers = count()
    for place, message in enumerate(good):
        mixed.append(message)
        if place % every != 0:
            continue
        if not bad:
            number, at_ms = next(numbers), message.ingest_time_ms
            bad = list(hostile(number, at_ms, KNOWN_USER))
            known = {
                "event_id": f"known{number}",
                "user_id": KNOWN_USER,
                "type": "visit",
                "event_time": at_ms,
            }
            mixed.append(Message("clickstream", KNOWN_USER.encode(), json.dumps(known).encode(), at_ms))
        one = bad.pop()
        reasons[one.reason] += 1
        mixed.append(Message("clickstream", one.key.encode(), one.value, message.ingest_time_ms))  # type: ignore[arg-type]
    return mixed, reasons


def test_hostile_messages__harm_nobody(place: Place, topics: Topics) -> None:
    """Every good event counts as specified, every hostile message is set aside whole, under its reason."""
    started_at = time.time()
    policy = parse_policy(yaml.safe_load(POLICY), "test")
    site = Site(*place, policy, (topics.clickstream,))
    mixed, reasons = stream()
    assert sum(reasons.values()) == HOSTILE
    waiting = iter(mixed)
    while part := list(islice(waiting, 20_000)):
        site.sender.send(part)
    with site.worker() as worker:
        site.wait_done(worker)
        assert_conserved(site.metrics(worker), consumed=len(mixed))
        assert (worker.answers("/live"), worker.answers("/ready")) == (200, 200)
        assert "level=error" not in worker.log

    found = site.observed()
    assert Counter(found.dead_letters.values()) == reasons
    assert set(ODD_IDS) < found.changes.keys()
    assert_same(found, expected_in_parallel(policy, site.sender.sent))
    assert_each_user_has_a_key(site, set(found.profiles))
    assert_set_aside_whole(site, started_at)


def assert_each_user_has_a_key(site: Site, users: set[str]) -> None:
    """Check that ids made no key but their own, and no member but themselves."""
    shards = range(site.topics.partitions)
    keys = {site.keys.user(user_id) for user_id in users}
    keys |= {site.keys.audience("visitors", rung) for rung in ("seldom", "often")}
    keys |= {site.keys.audience("buyers", rung) for rung in ("none", "some", "more")}
    keys |= {site.keys.meta(number) for number in shards}
    homes = {home(number) for number in shards for home in (site.keys.rows, site.keys.cold)}
    outboxes = {site.keys.outbox(number) for number in shards}
    assert set(site.store.scan_iter(f"{site.prefix}:*", count=5_000)) - outboxes - homes == keys
    members = [member for home in homes for member in site.store.hkeys(home)]
    assert sorted(members) == sorted(user_id.encode() for user_id in users)


def assert_set_aside_whole(site: Site, started_at: float) -> None:
    """Check headers and bytes of every dead letter against what was sent."""
    for letter in read_all(site.kafka, site.topics.dead_letters):
        headers = {name: value.decode() for name, value in letter.headers()}
        (held,) = site.sender.sent[int(headers["partition"])]
        original = held[int(headers["offset"])][1] or b""
        assert (letter.value() or b"") == original[:EVENT_BYTES_MAX], headers
        is_cut = len(original) > EVENT_BYTES_MAX
        assert [name for name, _ in letter.headers()] == HEADERS + ["original_size"] * is_cut
        assert headers.get("original_size", str(len(original))) == str(len(original))
        assert headers["topic"] == site.topics.clickstream
        assert headers["detail"]
        failed_at = datetime.fromisoformat(headers["failed_at"]).timestamp()
        assert started_at - 1 < failed_at < time.time() + 1
