"""
Draw what the shop's customers do: sessions with a subject and perhaps a purchase. This file returns columns.

Nothing is disturbed yet (disorder, duplicates, rubbish: generator.py). All times are Unix ms.
"""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Self

import numpy as np

from flows.dev.shop import CATEGORIES, DAY_MS, ITEMS_PER_CATEGORY, Catalogue, Customers, Floats, Ints

BROWSING_WEIGHTS = (0.64, 0.14, 0.05, 0.11, 0.02, 0.02, 0.02)
MEAN_EVENTS_PER_SESSION = 5.5
MEAN_GAP_MS = 40_000
SHARE_BUYING = 0.16
SHARE_REVIEWED = 0.22
SHARE_PLEASED = 0.8  # Of those who review.
SHARE_REFUNDED = 0.08
SHARE_REFUNDED_IN_FULL = 0.6
SHANGHAI_OFFSET_MS = 8 * 3_600_000
# The shop's day in local hours: a dip at night, a peak at noon, the highest one after dinner.
HOUR_WEIGHTS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 6, 7, 8, 8, 10, 9, 8, 8, 8, 8, 9, 11, 13, 14, 11, 7], float)
SHARE_MOVED_TO_WEEKEND = 0.12
UNIX_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0.
NOTHING = -1


class Kind(IntEnum):
    """What can happen; the names in lower case are the event types of the shipped policy."""

    PAGE_VIEW = 0
    SEARCH = 1
    FAVORITE = 2
    ADD_TO_CART = 3
    REMOVE_FROM_CART = 4
    SHARE = 5
    COUPON_CLAIMED = 6
    ORDER_PAID = 7
    REVIEW_POSITIVE = 8
    REVIEW_NEGATIVE = 9
    ORDER_REFUNDED = 10


@dataclass(frozen=True)
class Happenings:
    """Columns of what happened, one entry an event; `order` numbers the orders, -1 where there is none."""

    time_ms: Ints
    user: Ints
    kind: Ints
    item: Ints
    scene: Ints
    order: Ints
    amount_minor: Ints
    discount_minor: Ints
    coupon: Ints  # -1 where there is none.

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, index: Ints) -> Self:
        """Pick entries by their index, in that order."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    def followed_by(self, other: Self) -> Self:
        """Append the entries of another one."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return type(self)(*(np.concatenate(pair) for pair in pairs))


def draw_happenings(
    random: np.random.Generator, catalogue: Catalogue, customers: Customers, count: int, span: tuple[int, int]
) -> Happenings:
    """Draw exactly `count` events within the span, refunds and reviews among them, in order of time."""
    lengths = _session_lengths(random, count)
    session_user = _session_users(random, customers, len(lengths))
    session_start = _session_starts(random, customers, session_user, span)
    mean_gap_ms = min(MEAN_GAP_MS, (span[1] - span[0]) // 1000)
    visits = _walk(random, catalogue, customers, lengths, session_user, session_start, mean_gap_ms)
    visits = visits.take(np.flatnonzero(visits.time_ms < span[1]))
    paid = visits.take(np.flatnonzero(visits.kind == Kind.ORDER_PAID))
    later = _reviews(random, paid).followed_by(_refunds(random, paid))
    everything = visits.followed_by(later.take(np.flatnonzero(later.time_ms < span[1])))
    return _trimmed(random, everything, count)


def _session_lengths(random: np.random.Generator, count: int) -> Ints:
    wanted = count + 64 + count // 20  # The end of the span cuts some off; a surplus is trimmed.
    lengths = random.geometric(1 / MEAN_EVENTS_PER_SESSION, int(wanted / MEAN_EVENTS_PER_SESSION * 1.1) + 64)
    return lengths[: int(np.searchsorted(np.cumsum(lengths), wanted)) + 1]


def _session_users(random: np.random.Generator, customers: Customers, count: int) -> Ints:
    weight = customers.eagerness * customers.stay_ms
    everybody = np.arange(len(weight)) if count >= 2 * len(weight) else np.zeros(0, np.int64)
    rest = np.searchsorted(np.cumsum(weight) / weight.sum(), random.random(count - len(everybody)))
    return np.concatenate([everybody, np.minimum(rest, len(weight) - 1)])


def _session_starts(
    random: np.random.Generator, customers: Customers, user: Ints, span: tuple[int, int]
) -> Ints:
    """Place sessions within their user's stays, then bend them to the rhythm of local days and weeks."""
    into = (random.random(len(user)) * customers.stay_ms[user]).astype(np.int64)
    first_stay = customers.last_ms[user] - customers.first_ms[user]
    anyhow = np.where(
        into < first_stay, customers.first_ms[user] + into, customers.again_first_ms[user] + into - first_stay
    )
    day = (anyhow + SHANGHAI_OFFSET_MS) // DAY_MS
    weekday = (day + UNIX_EPOCH_WEEKDAY) % 7
    moved = (weekday < 5) & (random.random(len(user)) < SHARE_MOVED_TO_WEEKEND)
    day = np.where(moved, day - weekday + random.integers(5, 7, len(user)), day)
    hours = np.interp(
        random.random(len(user)), np.cumsum([0.0, *HOUR_WEIGHTS]) / HOUR_WEIGHTS.sum(), np.arange(25)
    )
    bent = day * DAY_MS + (hours * 3_600_000).astype(np.int64) - SHANGHAI_OFFSET_MS
    within = (bent >= customers.first_ms[user]) & (bent >= span[0]) & (bent < span[1])
    return np.where(within, bent, anyhow)


def _walk(
    random: np.random.Generator,
    catalogue: Catalogue,
    customers: Customers,
    lengths: Ints,
    session_user: Ints,
    session_start: Ints,
    mean_gap_ms: float,
) -> Happenings:
    count = int(lengths.sum())
    session = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    gaps = (random.exponential(mean_gap_ms, count)).astype(np.int64) + 1
    passed = np.cumsum(gaps)
    time = session_start[session] + passed - passed[first][session]
    user = session_user[session]
    kind = random.choice(len(BROWSING_WEIGHTS), count, p=BROWSING_WEIGHTS)
    kind[first] = np.where(random.random(len(first)) < 0.3, Kind.SEARCH, Kind.PAGE_VIEW)
    buying = np.flatnonzero((random.random(len(lengths)) < SHARE_BUYING) & (lengths >= 2))
    pays_at = first[buying] + lengths[buying] - 1
    kind[pays_at] = Kind.ORDER_PAID
    longer = lengths[buying] >= 3
    kind[pays_at[longer] - 1] = Kind.ADD_TO_CART
    item = _items(random, catalogue, customers, session, user, time)
    item[pays_at[longer]] = item[pays_at[longer] - 1]
    order = np.full(count, NOTHING)
    order[pays_at] = np.arange(len(pays_at))
    scene = random.integers(0, 5, len(lengths))[session]
    amount, discount, coupon = _payments(random, catalogue, customers, user, item, order)
    coupon[kind == Kind.COUPON_CLAIMED] = random.integers(0, 40, int((kind == Kind.COUPON_CLAIMED).sum()))
    return Happenings(time, user, kind, item, scene, order, amount, discount, coupon)


def _items(
    random: np.random.Generator,
    catalogue: Catalogue,
    customers: Customers,
    session: Ints,
    user: Ints,
    time: Ints,
) -> Ints:
    """Stay within a session's category, half of the time the user's favourite; fans look for news."""
    session_category = random.integers(0, len(CATEGORIES), int(session[-1]) + 1)[session]
    loyal = (random.random(int(session[-1]) + 1) < 0.5)[session]
    category = np.where(loyal, customers.favourite[user], session_category)
    place = (ITEMS_PER_CATEGORY * random.random(len(user)) ** 2.5).astype(np.int64)
    item = category * ITEMS_PER_CATEGORY + place
    launched_before = np.searchsorted(catalogue.launched_ms[catalogue.by_launch], time, side="right")
    curious = customers.new_product_fan[user] & (random.random(len(user)) < 0.6) & (launched_before > 0)
    newest = launched_before - 1 - random.integers(0, 12, len(user))
    item[curious] = catalogue.by_launch[np.maximum(newest[curious], 0)]
    old = np.setdiff1d(np.arange(catalogue.size), catalogue.by_launch)
    not_yet = catalogue.launched_ms[item] > time
    item[not_yet] = old[random.integers(0, len(old), int(not_yet.sum()))]
    return item


def _payments(
    random: np.random.Generator,
    catalogue: Catalogue,
    customers: Customers,
    user: Ints,
    item: Ints,
    order: Ints,
) -> tuple[Ints, Ints, Ints]:
    """Price the orders: log-normal around the article and the purse, coupons above all for deal seekers."""
    amount, discount, coupon = np.zeros((3, len(user)), np.int64)
    coupon[:] = NOTHING
    at = np.flatnonzero(order != NOTHING)
    gross: Floats = (
        catalogue.price[item[at]] * customers.purse[user[at]] * random.lognormal(0.0, 0.6, len(at))
    )
    with_coupon = random.random(len(at)) < np.where(customers.deal_seeker[user[at]], 0.85, 0.15)
    off = np.where(with_coupon, random.uniform(0.05, 0.3, len(at)), 0.0)
    discount[at] = np.rint(gross * off * 100)
    amount[at] = np.rint(gross * 100) - discount[at]
    coupon[at[with_coupon]] = random.integers(0, 40, int(with_coupon.sum()))
    return amount, discount, coupon


def _reviews(random: np.random.Generator, paid: Happenings) -> Happenings:
    reviewed = paid.take(np.flatnonzero(random.random(len(paid)) < SHARE_REVIEWED))
    later = (random.lognormal(np.log(4.0), 0.6, len(reviewed)) * DAY_MS).astype(np.int64)
    pleased = random.random(len(reviewed)) < SHARE_PLEASED
    return _after(reviewed, later, np.where(pleased, Kind.REVIEW_POSITIVE, Kind.REVIEW_NEGATIVE))


def _refunds(random: np.random.Generator, paid: Happenings) -> Happenings:
    """Return some orders days later, in full or in part, and part of those once more."""
    returned = paid.take(np.flatnonzero(random.random(len(paid)) < SHARE_REFUNDED))
    later = (random.lognormal(np.log(5.0), 0.6, len(returned)) * DAY_MS).astype(np.int64) + DAY_MS // 2
    part = np.where(
        random.random(len(returned)) < SHARE_REFUNDED_IN_FULL, 1.0, random.uniform(0.1, 0.7, len(returned))
    )
    refunds = _after(
        returned, later, Kind.ORDER_REFUNDED, np.rint(returned.amount_minor * part).astype(np.int64)
    )
    again = np.flatnonzero((part < 0.5) & (random.random(len(returned)) < 0.2))
    second = refunds.take(again)
    return refunds.followed_by(
        _after(second, random.integers(DAY_MS, 5 * DAY_MS, len(again)), Kind.ORDER_REFUNDED)
    )


def _after(
    cause: Happenings, later_ms: Ints, kind: Ints | int, amount_minor: Ints | None = None
) -> Happenings:
    none = np.full(len(cause), NOTHING)
    amount = cause.amount_minor if amount_minor is None else amount_minor
    return Happenings(
        time_ms=cause.time_ms + later_ms,
        user=cause.user,
        kind=np.full(len(cause), kind, np.int64),
        item=cause.item,
        scene=cause.scene,
        order=cause.order,
        amount_minor=amount,
        discount_minor=np.zeros(len(cause), np.int64),
        coupon=none,
    )


def _trimmed(random: np.random.Generator, drawn: Happenings, count: int) -> Happenings:
    """Drop page views until the count is right, sort by time, and number the orders in that order."""
    surplus = len(drawn) - count
    assert surplus >= 0, (len(drawn), count)
    views = np.flatnonzero(drawn.kind == Kind.PAGE_VIEW)
    keep = np.ones(len(drawn), np.bool_)
    keep[random.choice(views, min(surplus, len(views)), replace=False)] = False
    kept = np.flatnonzero(keep)
    # A handful of events may hold too few views: then the newest go, so that no refund loses its order.
    happenings = drawn.take(kept[np.argsort(drawn.time_ms[kept], kind="stable")][:count])
    paid = happenings.order[happenings.kind == Kind.ORDER_PAID]
    rank = np.full(int(paid.max(initial=0)) + 1, NOTHING)
    rank[paid] = np.arange(len(paid)) + 1
    numbered = np.where(happenings.order == NOTHING, NOTHING, rank[happenings.order])
    return replace(happenings, order=numbered)
