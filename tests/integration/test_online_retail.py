"""Two years of a real shop through real servers. This file holds them to the specification."""

import uuid
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.policy_file import load_policy
from flows.dev.embedded import KafkaServer
from flows.dev.generator import Message
from flows.dev.replay import replay
from scoring.policy import Policy
from tests.conftest import PARTITIONS, Topics, make_topics
from tests.integration.bench import Place
from tests.integration.outcome import Outcome, Sender, assert_same
from tests.integration.site import Site, assert_conserved, expected_in_parallel
from tests.integration.worker_process import POLICY, WorkerProcess

PAID = Decimal("17431533.16")
USERS_WITH_AN_ORDER = 5_878  # The other 61 of the file's 5,939 only have refunds of orders before it.
SLICE = 2_000


class Line(msgspec.Struct):
    """One line of the file."""

    user_id: str
    type: str
    event_time: datetime
    order_id: str
    amount: Decimal


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Read the policy that ships, for a shop in London."""
    return replace(load_policy(POLICY), currency="GBP", timezone="Europe/London")


@pytest.fixture(scope="module")
def shop(retail_file: Path) -> list[Message]:
    """Read every event of the file."""
    return list(replay(retail_file, "orders"))


@pytest.fixture
def site(place: Place, topics: Topics, policy: Policy) -> Site:
    """Prepare a worker that reads orders alone, whose time is that of the data."""
    return Site(*place, policy, (topics.orders,))


@dataclass(frozen=True)
class Specified:
    """What was sent, by partition, and what the specification makes of it."""

    sent: dict[int, Any]
    outcome: Outcome


@pytest.fixture(scope="module")
def specified(kafka: KafkaServer, shop: list[Message], policy: Policy) -> Specified:
    """Run the specification over the file, once: however it is sent, each partition holds the same."""
    topics = make_topics(kafka, f"t{uuid.uuid4().hex[:12]}", PARTITIONS)
    sender = Sender(kafka, PARTITIONS, (topics.orders,), {"orders": topics.orders})
    sender.send(shop)
    return Specified(sender.sent, expected_in_parallel(policy, sender.sent))


@dataclass
class Ledger:
    """The shop's money, kept by hand: users with an order, what they spent, refunds of no known order."""

    users: set[str] = field(default_factory=set)
    spend: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    matched_refunds: Decimal = Decimal(0)
    unknown_refunds: int = 0


@pytest.fixture(scope="module")
def ledger(shop: list[Message], policy: Policy) -> Ledger:
    """Add up the file in decimals, remembering orders as long and as many as the policy does."""
    ledger = Ledger()
    orders: dict[str, deque[list[Any]]] = defaultdict(lambda: deque(maxlen=policy.orders_per_user))
    memory = timedelta(milliseconds=policy.order_memory_ms)
    for line in (msgspec.json.decode(message.value, type=Line) for message in shop):
        known = [order for order in orders[line.user_id] if order[0] == line.order_id]
        if line.type == "order_paid":
            assert not known, line
            orders[line.user_id].append([line.order_id, line.event_time, line.amount])
            ledger.users.add(line.user_id)
            ledger.paid += line.amount
        elif known and line.event_time - known[0][1] <= memory:
            taken = min(line.amount, known[0][2])
            known[0][2] -= taken
            ledger.matched_refunds += taken
        else:
            ledger.unknown_refunds += 1
    return ledger


def assert_balanced(outcome: Outcome, ledger: Ledger) -> None:
    """Check users, money and refunds to the cent against the ledger, which knows no specification."""
    assert ledger.paid == PAID
    assert outcome.profiles.keys() == ledger.users
    assert len(ledger.users) == USERS_WITH_AN_ORDER
    spend = sum(Decimal(profile["spend"]) for profile in outcome.profiles.values())
    assert spend == PAID - ledger.matched_refunds
    assert Counter(outcome.dead_letters.values()) == {"unknown_order": ledger.unknown_refunds}


def test_online_retail__at_once_equals_the_specification(
    site: Site, shop: list[Message], specified: Specified, ledger: Ledger
) -> None:
    """Two years that wait in the topic when the worker starts give every profile and change as specified."""
    site.sender.send(shop)
    with site.worker() as worker:
        site.wait_done(worker)
        assert_conserved(site.metrics(worker), consumed=len(shop))
    assert site.sender.sent == specified.sent
    found = site.observed()
    assert_same(found, specified.outcome)
    assert_balanced(found, ledger)


def test_online_retail__as_a_stream_equals_the_specification(
    site: Site, shop: list[Message], specified: Specified, ledger: Ledger
) -> None:
    """Two years sent slice by slice, the worker stopped and started in the middle, give the same."""
    slices = [shop[first : first + SLICE] for first in range(0, len(shop), SLICE)]
    middle = len(slices) // 2
    with site.worker() as worker:
        stream(site, worker, slices[:middle])
    stopped_at = site.written()
    with site.worker() as worker:
        stream(site, worker, slices[middle:])
        site.wait_done(worker)
        assert_conserved(site.metrics(worker), consumed=len(shop) - stopped_at)
    assert site.sender.sent == specified.sent
    found = site.observed()
    assert_same(found, specified.outcome)
    assert_balanced(found, ledger)


def stream(site: Site, worker: WorkerProcess, slices: list[list[Message]]) -> None:
    """Send slice by slice, each as soon as the one before is scored; return with the last one under way."""
    for part in slices:
        sent = site.sent()
        site.sender.send(part)
        worker.wait_until(lambda sent=sent: site.written() >= sent)
