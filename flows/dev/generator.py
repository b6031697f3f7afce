"""
Generate the stream of a believable shop: seeded, fast, untidy like a real one. This file writes messages.

The same arguments always give the same bytes. The whole plan is drawn with numpy first (about 150
bytes of memory an event); the JSON is written while the messages are taken.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from flows.dev.rubbish import rubbish_value
from flows.dev.sessions import NOTHING, Happenings, Kind, draw_happenings
from flows.dev.shop import (
    CATEGORIES,
    ITEMS_PER_CATEGORY,
    Catalogue,
    Customers,
    Ints,
    draw_catalogue,
    draw_customers,
)

CLICKSTREAM, ORDERS = "clickstream", "orders"
CHANNELS = ("app", "web", "mini_program")
SCENES = ("home", "recommendation", "search_result", "campaign", "category")
TYPES = tuple(kind.name.lower() for kind in Kind)
SHARE_DUPLICATES = 0.01
SHARE_DELAYED = 0.05
SHARE_RUBBISH = 0.002
DELAY_MEDIAN_MS = 180_000
DELAY_MAX_MS = 6 * 3_600_000  # Far within the allowed lateness, so a delay never becomes a dead letter.
LINES_AT_ONCE = 8192


class Message(NamedTuple):
    """One message to send; `ingest_time_ms` is the Kafka time it carries: its arrival in the story."""

    topic: str
    key: bytes
    value: bytes
    ingest_time_ms: int


def generate(
    events: int, users: int, seed: int, start_ms: int, end_ms: int, order_prefix: str = "ord-"
) -> Iterator[Message]:
    """
    Yield `events` messages of `users` users, what happened in [start_ms, end_ms), in the order of arrival.

    About 5% arrive after later ones (seconds to hours late), 1% arrive twice, 0.2% are rubbish.
    Orders and refunds go to the topic `orders`, everything else to `clickstream`; the key is the user id.
    Stories sent to the same users one after the other need a seed and an order prefix each, for their ids.
    """
    assert min(events, users, end_ms - start_ms) > 0, (events, users, start_ms, end_ms)
    random = np.random.default_rng(seed)
    catalogue = draw_catalogue(random, start_ms, end_ms)
    customers = draw_customers(random, users, start_ms, end_ms)
    duplicates, rubbish = round(events * SHARE_DUPLICATES), round(events * SHARE_RUBBISH)
    happenings = draw_happenings(
        random, catalogue, customers, events - duplicates - rubbish, (start_ms, end_ms)
    )
    arrival, event = _arrivals(random, happenings.time_ms, duplicates, rubbish)
    writer = _Writer(seed, order_prefix, catalogue, customers, happenings)
    for begin in range(0, events, LINES_AT_ONCE):
        yield from writer.messages(
            event[begin : begin + LINES_AT_ONCE], arrival[begin : begin + LINES_AT_ONCE], random
        )


def _arrivals(random: np.random.Generator, time_ms: Ints, duplicates: int, rubbish: int) -> tuple[Ints, Ints]:
    """Delay some events, send some again, mix in rubbish (index -1); both columns in the order of arrival."""
    count = len(time_ms)
    mean_gap_ms = (int(time_ms[-1]) - int(time_ms[0])) // count
    delayed = random.random(count) < SHARE_DELAYED
    # Several gaps long at least, or a thin stream would show no disorder.
    delay = (max(DELAY_MEDIAN_MS, 4 * mean_gap_ms) * random.lognormal(0.0, 0.7, count)).astype(np.int64)
    arrival = time_ms + np.where(delayed, np.minimum(delay, DELAY_MAX_MS), 0)
    again = random.integers(0, count, duplicates)
    again_at = arrival[again] + random.integers(1, 600_000, duplicates)
    rubbish_at = arrival[random.integers(0, count, rubbish)]
    arrivals = np.concatenate([arrival, again_at, rubbish_at])
    event = np.concatenate([np.arange(count), again, np.full(rubbish, NOTHING)])
    order = np.argsort(arrivals, kind="stable")
    return arrivals[order], event[order]


class _Writer:
    """Writes messages as JSON lines; what repeats (articles, users, places) is written once."""

    def __init__(
        self,
        seed: int,
        order_prefix: str,
        catalogue: Catalogue,
        customers: Customers,
        happenings: Happenings,
    ) -> None:
        self._event_prefix = f"e{seed}-"
        self._order_prefix = order_prefix
        self._happenings = happenings
        launched = _times(catalogue.launched_ms)
        self._item = [
            f',"item_id":"i{number}","category":"{category}","item_launch_at":"{at}"'
            for number, (category, at) in enumerate(zip(np.repeat(CATEGORIES, ITEMS_PER_CATEGORY), launched))
        ]
        channel = [CHANNELS[index] for index in customers.channel.tolist()]
        self._user = [f'"user_id":"u{number}","channel":"{name}"' for number, name in enumerate(channel)]
        self._key = [b"u%d" % number for number in range(len(channel))]

    def messages(self, event: Ints, arrival_ms: Ints, random: np.random.Generator) -> Iterator[Message]:
        """Write the given events (indices, -1 for rubbish)."""
        chosen = self._happenings.take(event)  # Rubbish takes a stray entry along that is not used.
        columns = (chosen.user, chosen.kind, chosen.item, chosen.scene)
        user, kind, item, scene = (column.tolist() for column in columns)
        special = (chosen.kind >= Kind.COUPON_CLAIMED) | (event == NOTHING)
        users, keys, items, prefix = self._user, self._key, self._item, self._event_prefix
        for at, (number, slow, time, arrival) in enumerate(
            zip(event.tolist(), special.tolist(), _times(chosen.time_ms), arrival_ms.tolist())
        ):
            key = keys[user[at]]
            if number == NOTHING:
                yield self._rubbish(random, arrival)
                continue
            if slow:
                topic = ORDERS if kind[at] in (Kind.ORDER_PAID, Kind.ORDER_REFUNDED) else CLICKSTREAM
                yield Message(topic, key, self._special(number, time), arrival)
                continue
            line = (
                f'{{"event_id":"{prefix}{number}",{users[user[at]]},"type":"{TYPES[kind[at]]}",'
                f'"event_time":"{time}"{items[item[at]]},"scene":"{SCENES[scene[at]]}"}}'
            )
            yield Message(CLICKSTREAM, key, line.encode(), arrival)

    def _special(self, number: int, time: str) -> bytes:
        happened = self._happenings
        kind, order, discount = (
            int(column[number]) for column in (happened.kind, happened.order, happened.discount_minor)
        )
        order_id = f"{self._order_prefix}{order}"
        event_id = order_id if kind == Kind.ORDER_PAID else f"{self._event_prefix}{number}"
        parts = [f'{{"event_id":"{event_id}",{self._user[happened.user[number]]},"type":"{TYPES[kind]}"']
        parts.append(f'"event_time":"{time}"{self._item[happened.item[number]]}')
        if kind in (Kind.ORDER_PAID, Kind.ORDER_REFUNDED):
            parts.append(f'"order_id":"{order_id}","amount":"{_money(int(happened.amount_minor[number]))}"')
        if happened.coupon[number] != NOTHING:
            parts.append(f'"coupon_id":"c{happened.coupon[number]}"')
        if discount:
            parts.append(f'"discount_amount":"{_money(discount)}"')
        return (",".join(parts) + "}").encode()

    def _rubbish(self, random: np.random.Generator, arrival_ms: int) -> Message:
        key = self._key[random.integers(0, len(self._key))]
        value = rubbish_value(random, f"{self._event_prefix}r{arrival_ms}", key.decode(), arrival_ms)
        return Message(CLICKSTREAM if b"order_" not in value else ORDERS, key, value, arrival_ms)


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _times(time_ms: Ints) -> list[str]:
    """Write Unix ms as RFC 3339 UTC with milliseconds."""
    return np.datetime_as_string(time_ms.astype("datetime64[ms]"), unit="ms", timezone="UTC").tolist()
