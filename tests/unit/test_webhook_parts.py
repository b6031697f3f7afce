"""The parts of `tierwise webhooks`: signatures, filters, the plan, the order of users, and what is settled."""

import base64
import contextlib
import dataclasses
import hmac
import math
import random
import re
import socket
import threading
from collections import defaultdict
from email.utils import formatdate
from ipaddress import ip_network
from urllib.parse import unquote

import pytest

from config.durations import parse_duration
from config.schema_check import schema
from config.web_address import parse_url
from config.webhook_settings import RETRY_PLAN, Endpoint, decode_secret
from flows.dead_letters.letter import Letter, Place
from flows.webhooks.change import Change, is_wanted
from flows.webhooks.lanes import Delivery, Lanes
from flows.webhooks.ledger import Ledger, Mark
from flows.webhooks.network import AddressRefused, checked_addresses
from flows.webhooks.notes import NOTE_SIZE_MAX, Tried
from flows.webhooks.parked import Filter, still_parked
from flows.webhooks.request import Poster
from flows.webhooks.retry_plan import JITTER, RetryPlan, retry_after_s
from flows.webhooks.signing import signed_headers, webhook_id

HOUR_MS = 3_600_000
CHANGE = Change("u1:1", "u1", 1, "tier", "up", "event", b"{}", 0, 7, 1_000)
ENDPOINT = Endpoint(
    name="one",
    url=parse_url("https://hooks.example.com/x"),
    secrets=(bytes(24),),
    ladders=frozenset(),
    directions=frozenset(),
    causes=frozenset(),
    rate=50,
    concurrency=4,
    timeout_ms=1_000,
    starts_at_end=True,
    allow_http=False,
    allow_private=(),
)


def test_signature__is_that_of_the_specification() -> None:
    """The test vector that the specification's own libraries are held to."""
    key = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signed_headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_signature__there_is_one_for_each_secret() -> None:
    """While a secret is replaced, receivers with the old one and with the new one can both verify."""
    keys = [bytes([number]) * 24 for number in range(2)]
    shown = signed_headers(keys, "u1:1", 5, b"x")["webhook-signature"].split(" ")
    digests = [base64.b64encode(hmac.digest(key, b"u1:1.5.x", "sha256")).decode() for key in keys]
    assert shown == [f"v1,{digest}" for digest in digests]


@pytest.mark.parametrize(
    "ce_id", ["u42:1", "a.b@shop.example:12", "é\r\nX-Evil: 1:3", "50%:2", "a b/c?#:9", "\x00:1"]
)
def test_webhook_id__is_the_ce_id_and_safe_in_a_header(ce_id: str) -> None:
    """It holds no dot, blank or line end, reads back as `ce_id`, and is `ce_id` where that is plain."""
    made = webhook_id(ce_id)
    assert re.fullmatch(r"[\x21-\x7e]+", made)
    assert "." not in made
    assert unquote(made) == ce_id
    assert (made == ce_id) is (ce_id == "u42:1")


@pytest.mark.parametrize(
    ("wanted", "is_taken"),
    [
        ({}, True),
        ({"ladders": {"tier", "aipl"}, "directions": {"up"}, "causes": {"event"}}, True),
        ({"ladders": {"aipl"}}, False),
        ({"directions": {"down"}}, False),
        ({"causes": {"time", "policy"}}, False),
        ({"ladders": {"tier"}, "causes": {"time"}}, False),
    ],
)
def test_filter__every_one_that_is_set_must_hold(wanted: dict[str, set[str]], is_taken: bool) -> None:
    """An endpoint gets what all of its filters admit; one that is not set admits everything."""
    endpoint = dataclasses.replace(ENDPOINT, **{name: frozenset(words) for name, words in wanted.items()})
    assert is_wanted(CHANGE, endpoint) is is_taken


def test_plan__is_the_one_of_the_specification() -> None:
    """Ten attempts within 75 h 35 min 5 s, each wait as told or up to a fifth longer."""
    plan = RetryPlan([parse_duration(delay) for delay in RETRY_PLAN])
    assert sum(plan.delays_ms) == ((75 * 60 + 35) * 60 + 5) * 1000
    for attempts, delay_ms in enumerate(plan.delays_ms):
        waits = {plan.delay_ms(attempts) for _ in range(50)}
        assert all(delay_ms <= wait <= delay_ms * (1 + JITTER) + 1 for wait in waits if wait is not None)
        assert len(waits) > 1 or delay_ms == 0
    assert plan.delay_ms(len(plan.delays_ms)) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0), ("", 0), ("120", 120), (" 7 ", 7), ("99999999999999", 86_400), ("-5", 0), ("soon", 0), ("1.5", 0),
        (formatdate(1_060, usegmt=True), 60), (formatdate(10, usegmt=True), 0),
        (formatdate(10**9, usegmt=True), 86_400),
        ("Wed, 99 Foo 2026 99:99:99 GMT", 0), ("²", 0),
    ],
)  # fmt: skip
def test_retry_after__is_seconds_or_a_date(text: str | None, seconds: int) -> None:
    """Both forms are read, a day is the most, and what is neither asks for nothing."""
    assert retry_after_s(text, 1_000.0) == seconds


def delivery(user_id: str, offset: int, planned_ms: float = 0, partition: int = 0) -> Delivery:
    """Make a delivery of a user's change."""
    change = Change(f"{user_id}:{offset}", user_id, offset, "t", "up", "event", b"", partition, offset, 0)
    return Delivery(change, planned_ms)


def test_lanes__a_user_waits_and_others_pass() -> None:
    """Only the first of a user can be taken, until it is settled; what is not due is not."""
    lanes = Lanes()
    first, second, other = delivery("a", 1), delivery("a", 2), delivery("b", 3)
    for one in (first, second, other, delivery("c", 4, planned_ms=50)):
        lanes.add(one)
    assert (lanes.take(10), lanes.take(10), lanes.take(10)) == (first, other, None)
    first.planned_ms = 30
    lanes.put_back(first)
    lanes.settle(other)
    assert (lanes.take(10), lanes.take(30)) == (None, first)
    lanes.settle(first)
    assert lanes.take(30) is second
    assert (len(lanes), lanes.next_ms()) == (2, 50)


def test_lanes__random_fates_keep_each_user_in_order() -> None:
    """Whatever fails however often, and whichever partitions leave, no user's change overtakes another."""
    rng, lanes = random.Random(5), Lanes()
    settled: dict[str, list[int]] = defaultdict(list)
    taken: list[Delivery] = []
    for number in range(3_000):
        user = rng.randrange(30)
        lanes.add(delivery(f"u{user}", number, planned_ms=number, partition=user % 3))
        if one := lanes.take(number):
            taken.append(one)
        if taken and rng.random() < 0.7:
            one = taken.pop(rng.randrange(len(taken)))
            if rng.random() < 0.4:
                one.planned_ms = number + rng.randrange(20)
                one.attempts += 1
                lanes.put_back(one)
            else:
                settled[one.change.user_id].append(one.change.offset)
                lanes.settle(one)
        if rng.random() < 0.05:
            lanes.hurry(number)
    assert all(found == sorted(found) for found in settled.values())
    size = len(lanes)
    assert size + sum(len(found) for found in settled.values()) == 3_000
    lanes.drop([0, 2])
    assert 0 < len(lanes) < size
    left = list(iter(lambda: lanes.take(math.inf), None))
    assert all(one.change.partition == 1 for one in left)
    assert sum(one.is_void for one in taken) > 0


def test_lanes__the_one_that_was_refused_longest_leaves_first() -> None:
    """What others were taken after is refused; what never was tried, or fails with all the rest, is not."""
    lanes = Lanes()
    made = [delivery(f"u{number}", number) for number in range(4)]
    for number, one in enumerate(made):
        one.first_try_ms, one.attempts = 10 - number, 1
        lanes.add(one)
    assert lanes.take_refused() is None
    made[1].is_refused = made[2].is_refused = True
    assert lanes.held_up() == 4
    assert (lanes.take_refused(), lanes.take_refused(), lanes.take_refused()) == (made[2], made[1], None)
    assert [lanes.take(0), lanes.take(0), lanes.take(0)] == [made[0], made[3], None]


def test_ledger__commits_up_to_the_oldest_that_is_open() -> None:
    """An offset is told only when nothing before it is open, whatever was settled behind."""
    ledger = Ledger()
    ledger.begin([Mark(0, 100), Mark(1, 5)])
    assert ledger.news(0) == []
    for offset in (100, 102, 103):
        ledger.read(0, offset, None if offset == 103 else delivery("a", offset))
    ledger.read(1, 5, None)
    assert ledger.news(0) == [Mark(1, 6)]
    ledger.settle(0, 102)
    assert ledger.news(0) == []
    ledger.settle(0, 100)
    assert ledger.news(0) == [Mark(0, 104)]
    ledger.forget_told()
    assert ledger.news(0) == [Mark(0, 104), Mark(1, 6)]
    ledger.drop([1])
    assert (ledger.news(0), ledger.partitions) == ([], [0])


def test_ledger__knows_after_a_restart_what_was_settled_and_how_often_tried() -> None:
    """What is noted beside an offset is taken up again, also when the next restart comes before all is read."""
    ledger = Ledger()
    ledger.begin([Mark(0, 10)])
    made = {offset: delivery("a", offset) for offset in (10, 12, 14)}
    for offset in range(10, 16):
        ledger.read(0, offset, made.get(offset))
    made[12].attempts, made[12].first_try_ms, made[12].planned_ms = 2, 5_000.0, 9_000.0
    ledger.settle(0, 10)
    (mark,) = ledger.news(NOTE_SIZE_MAX)
    assert mark.offset == 12
    for _ in range(2):
        ledger.begin([mark])
        assert [offset for offset in range(12, 17) if ledger.is_settled(0, offset)] == [13, 15]
        assert (ledger.tried(0, 12), ledger.tried(0, 14)) == (Tried(2, 5_000.0, 9_000.0), None)
        ledger.read(0, 12, made[12])
        assert ledger.news(NOTE_SIZE_MAX) == []
    ledger.settle(0, 12)
    (mark,) = ledger.news(NOTE_SIZE_MAX)
    ledger.begin([mark])
    assert [offset for offset in range(13, 17) if ledger.is_settled(0, offset)] == [13, 15]


def test_addresses__one_that_is_not_allowed_refuses_the_name() -> None:
    """A name is looked up once; all of its addresses must be of the internet, or of one's own networks."""
    asked: list[str] = []

    def ask(host: str, port: int) -> list[str]:
        asked.append(f"{host}:{port}")
        return ["93.184.216.34", "10.0.0.7"]

    with pytest.raises(AddressRefused, match=r"leads to 10\.0\.0\.7"):
        checked_addresses(ENDPOINT.url, (), ask)
    assert asked == ["hooks.example.com:443"]
    found = checked_addresses(ENDPOINT.url, [ip_network("10.0.0.0/8")], ask)
    assert [str(one) for one in found] == ["93.184.216.34", "10.0.0.7"]


def test_post__connects_to_nothing_that_was_not_checked() -> None:
    """A name that answers otherwise the second time changes nothing: nobody asks a second time."""
    answers = iter([["127.0.0.1"], ["93.184.216.34"]])
    answer = Poster(ENDPOINT, "test", lambda *_: next(answers)).post("u1:1", b"{}")
    assert (answer.failure, answer.status) == ("address", 0)
    assert next(answers) == ["93.184.216.34"]


def test_post__an_answer_in_drops_ends_with_the_time() -> None:
    """The limit is one for the whole exchange: a byte every now and then does not begin it anew."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip() -> None:
            opened, _ = server.accept()
            with opened, contextlib.suppress(OSError):
                opened.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.05):
                    opened.sendall(b"x")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = parse_url(f"http://127.0.0.1:{server.getsockname()[1]}/")
        slow = dataclasses.replace(
            ENDPOINT, url=url, allow_private=(ip_network("127.0.0.0/8"),), timeout_ms=300
        )
        answer = Poster(slow, "test").post("u1:1", b"{}")
        over.set()
        thread.join()
    assert (answer.failure, answer.status) == ("timeout", 0)


def letter(offset: int, key: bytes, value: bytes = b"{}", **headers: str) -> Letter:
    """Make a message of the topic of parked changes."""
    return Letter(Place(0, offset), key, value, tuple((k, v.encode()) for k, v in headers.items()), offset)


def test_parked__what_was_sent_since_is_not_there() -> None:
    """A tombstone ends what stands before it; what was parked twice counts once, at its first place."""
    letters = [
        letter(0, b"one/u:1", endpoint="one", webhook_id="u:1", reason="gone"),
        letter(1, b"one/u:2", endpoint="one", webhook_id="u:2", reason="gone"),
        letter(2, b"one/u:1", endpoint="one", webhook_id="u:1", reason="gone"),
        letter(3, b"two/u:1", endpoint="two", webhook_id="u:1", reason="plan_used_up"),
        letter(4, b"one/u:2", b""),
    ]
    assert still_parked(letters, Filter()) == {Place(0, 0), Place(0, 3)}
    assert still_parked(letters, Filter(endpoints=["two"])) == {Place(0, 3)}
    assert still_parked(letters, Filter(ids=["u:1"], reasons=["gone"])) == {Place(0, 0)}
    assert still_parked(letters, Filter(since_ms=1)) == {Place(0, 2), Place(0, 3)}
    again = [*letters, letter(5, b"one/u:2", endpoint="one", webhook_id="u:2", reason="gone")]
    assert Place(0, 5) in still_parked(again, Filter())


def test_causes__an_endpoint_can_choose_all_that_there_are() -> None:
    """No cause that the worker writes is left out of the settings."""
    endpoints = schema("settings")["properties"]["webhooks"]["properties"]["endpoints"]
    causes = endpoints["additionalProperties"]["properties"]["causes"]["items"]["enum"]
    assert set(causes) == set(schema("change")["properties"]["cause"]["enum"])
