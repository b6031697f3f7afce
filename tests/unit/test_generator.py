"""Tests of the generated shop: the same every time, as untidy as promised, and true to itself."""

import gzip
import json
from collections import Counter
from datetime import datetime
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any

import pytest

from flows.dev.generator import DELAY_MAX_MS, Message, generate
from flows.dev.replay import replay

END_MS = 1_790_000_000_000
DAY_MS = 86_400_000
START_MS = END_MS - 120 * DAY_MS
EVENTS, USERS = 40_000, 1_500


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Generate one shop for all laws."""
    return list(generate(EVENTS, USERS, 7, START_MS, END_MS))


@pytest.fixture(scope="module")
def events(messages: list[Message]) -> list[dict[str, Any]]:
    """Decode what is complete, each event once, in the order of its first arrival."""
    decoded: dict[str, dict[str, Any]] = {}
    for message in messages:
        event = _decoded(message.value)
        if event is not None:
            decoded.setdefault(event["event_id"], event)
    return list(decoded.values())


def test_generate__same_seed_same_bytes(messages: list[Message]) -> None:
    """The same arguments give the same messages, another seed gives others."""
    assert list(generate(EVENTS, USERS, 7, START_MS, END_MS)) == messages
    assert list(generate(EVENTS, USERS, 8, START_MS, END_MS)) != messages


@pytest.mark.parametrize(("events", "users"), [(1, 1), (50, 1000), (1000, 3), (5000, 800)])
def test_generate__gives_as_many_messages_as_asked(events: int, users: int) -> None:
    """Small and lopsided shops hold exactly the wanted number of messages."""
    assert len(list(generate(events, users, 1, START_MS, END_MS))) == events


def test_generate__works_in_a_short_span() -> None:
    """A shop may live for an hour only."""
    messages = list(generate(5000, 100, 1, END_MS - 3_600_000, END_MS))
    times = [
        _time_ms(event)
        for event in map(_decoded, (m.value for m in messages))
        if event and "channel" in event
    ]
    assert END_MS - 3_600_000 <= min(times) < max(times) < END_MS


def test_generate__sends_one_percent_twice(messages: list[Message]) -> None:
    """About one message in a hundred is a repetition, byte for byte, with the same key."""
    seen = Counter((message.topic, message.key, message.value) for message in messages)
    repeated = sum(count - 1 for (_, _, value), count in seen.items() if _decoded(value))
    assert repeated == pytest.approx(EVENTS * 0.01, rel=0.1)


def test_generate__five_percent_arrive_out_of_order(messages: list[Message]) -> None:
    """About one event in twenty arrives after a later one, never later than the longest delay."""
    newest, behind, seen = 0, 0, set()
    for message in messages:
        event = _decoded(message.value)
        if event is None or "channel" not in event or event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        time_ms = _time_ms(event)
        behind += time_ms < newest
        assert newest - time_ms <= DELAY_MAX_MS + 600_000
        newest = max(newest, time_ms)
    assert behind == pytest.approx(EVENTS * 0.05, rel=0.15)


def test_generate__arrivals_are_in_order_and_never_before_the_event(messages: list[Message]) -> None:
    """Kafka times never go back, and no good event arrives before it happened."""
    assert all(starmap(lambda a, b: a.ingest_time_ms <= b.ingest_time_ms, pairwise(messages)))
    good = [(_decoded(message.value), message.ingest_time_ms) for message in messages]
    assert all(_time_ms(event) <= arrival for event, arrival in good if event and "channel" in event)


def test_generate__topics_and_keys_fit_the_events(messages: list[Message]) -> None:
    """Orders and refunds go to `orders`, all else to `clickstream`, keyed by the user."""
    for message in messages:
        event = _decoded(message.value)
        if event and "channel" in event:
            assert (message.topic == "orders") == event["type"].startswith("order_")
            assert message.key.decode() == event["user_id"]


def test_generate__refunds_name_earlier_orders_of_the_user(events: list[dict[str, Any]]) -> None:
    """A refund names an order its user placed before, and all refunds of an order never exceed it by far."""
    orders = {event["order_id"]: event for event in events if event["type"] == "order_paid"}
    refunds = [event for event in events if event["type"] == "order_refunded" and "channel" in event]
    assert len(refunds) > 0.03 * len(orders)
    for refund in refunds:
        order = orders[refund["order_id"]]
        assert order["user_id"] == refund["user_id"]
        assert _time_ms(order) < _time_ms(refund)
        assert 0 <= float(refund["amount"]) <= float(order["amount"])
    shares = [float(refund["amount"]) / float(orders[refund["order_id"]]["amount"]) for refund in refunds]
    assert 0.4 < sum(share == 1 for share in shares) / len(shares) < 0.8


def test_generate__no_article_is_seen_before_its_launch(events: list[dict[str, Any]]) -> None:
    """Every good event is about an article that has been launched, some of them just now."""
    ages = [_time_ms(event) - _ms(event["item_launch_at"]) for event in events if "channel" in event]
    assert min(ages) >= 0
    assert 0.01 < sum(age < 14 * DAY_MS for age in ages) / len(ages) < 0.3


def test_generate__activity_is_heavy_tailed_and_people_come_and_go(events: list[dict[str, Any]]) -> None:
    """Few users do much of everything, some arrive late, many fall silent well before the end."""
    by_user: dict[str, list[int]] = {}
    for event in events:
        by_user.setdefault(event["user_id"], []).append(_time_ms(event))
    counts = sorted(map(len, by_user.values()), reverse=True)
    assert len(by_user) > 0.95 * USERS
    assert sum(counts[: USERS // 10]) > 0.35 * sum(counts)
    span = END_MS - START_MS
    assert sum(min(times) > START_MS + span / 2 for times in by_user.values()) > 0.1 * USERS
    assert sum(max(times) < END_MS - span / 3 for times in by_user.values()) > 0.1 * USERS


def test_generate__nights_are_quiet_and_weekends_busy(events: list[dict[str, Any]]) -> None:
    """The shop follows local days and weeks of Asia/Shanghai."""
    local = [_time_ms(event) // 1000 + 8 * 3600 for event in events if "channel" in event]
    hours = Counter(second // 3600 % 24 for second in local)
    days = Counter((second // 86_400 + 3) % 7 for second in local)
    assert hours[21] > 4 * hours[4]
    assert (days[5] + days[6]) / 2 > 1.1 * sum(days[day] for day in range(5)) / 5


def test_generate__holds_some_rubbish(messages: list[Message]) -> None:
    """A few messages cannot be read, lack fields, or come from the future."""
    broken = sum(_decoded(message.value) is None for message in messages)
    decoded = [(_decoded(message.value), message.ingest_time_ms) for message in messages]
    future = sum(_time_ms(event) > arrival + 300_000 for event, arrival in decoded if event)
    assert 0.0003 * EVENTS < broken < 0.003 * EVENTS
    assert future >= 1


def test_replay__gives_the_lines_of_a_packed_file_keyed_by_user(tmp_path: Path) -> None:
    """A packed file of events comes out line by line, unchanged, with its user as key and its own time."""
    lines = [
        b'{"user_id":"u1","event_time":"2009-12-01T07:45:00.000Z","type":"order_paid"}',
        b"no json",
        b'{"user_id":7}',
    ]
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n\n"))
    messages = list(replay(path, "orders"))
    assert [message.value for message in messages] == lines
    assert [message.key for message in messages] == [b"u1", b"", b""]
    assert {message.ingest_time_ms for message in messages} == {1_259_653_500_000}


def _decoded(value: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(value)
        _time_ms(event)
        return event if event.keys() >= {"event_id", "user_id", "type", "event_time"} else None
    except (ValueError, KeyError):
        return None


def _time_ms(event: dict[str, Any]) -> int:
    time = event["event_time"]
    return time if isinstance(time, int) else _ms(time)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
