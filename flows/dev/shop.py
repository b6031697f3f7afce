"""
Invent the shop behind the generator: its articles, its customers and when each of them is around.

This file holds the slow facts; what happens in sessions is drawn in sessions.py.
Times are Unix ms as int64; everything is drawn from the generator passed in, so one seed gives one shop.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000
TYPICAL_PRICE = {
    "phones": 2600,
    "audio": 420,
    "laptops": 5200,
    "gaming": 380,
    "kitchen": 160,
    "furniture": 900,
    "garden": 140,
    "bedding": 210,
    "women": 180,
    "men": 170,
    "kids": 120,
    "shoes": 320,
    "beauty": 130,
    "health": 90,
    "sports": 240,
    "outdoor": 330,
    "toys": 95,
    "books": 45,
    "grocery": 60,
    "pets": 85,
}
CATEGORIES = tuple(TYPICAL_PRICE)
ITEMS_PER_CATEGORY = 100
SHARE_LAUNCHED_MEANWHILE = 0.25
SHARE_OLD_CUSTOMERS = 0.6
SHARE_LEAVING = 0.45
SHARE_RETURNING = 0.2  # Of those who left.
MEAN_STAY_DAYS = 35.0
SHARE_DEAL_SEEKERS = 0.1
SHARE_NEW_PRODUCT_FANS = 0.08

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """The articles, grouped by category; in each category the first ones sell best."""

    price: Floats
    launched_ms: Ints
    by_launch: Ints  # Articles launched meanwhile, oldest first.

    @property
    def size(self) -> int:
        """Count the articles."""
        return len(self.price)


@dataclass(frozen=True)
class Customers:
    """The users; a user is around in [first, last) and perhaps once more in [again_first, again_last)."""

    eagerness: Floats  # Sessions per day while around, up to a common factor; heavy-tailed.
    purse: Floats  # Factor on prices.
    favourite: Ints  # Index of the category.
    channel: Ints
    deal_seeker: NDArray[np.bool_]
    new_product_fan: NDArray[np.bool_]
    first_ms: Ints
    last_ms: Ints
    again_first_ms: Ints
    again_last_ms: Ints

    @property
    def stay_ms(self) -> Ints:
        """Sum up how long each user is around."""
        return (self.last_ms - self.first_ms) + (self.again_last_ms - self.again_first_ms)


def draw_catalogue(random: np.random.Generator, start_ms: int, end_ms: int) -> Catalogue:
    """Fill the shelves: three quarters long known, the rest launched within the span."""
    size = len(CATEGORIES) * ITEMS_PER_CATEGORY
    price = np.repeat(np.array(list(TYPICAL_PRICE.values()), float), ITEMS_PER_CATEGORY) * random.lognormal(
        0.0, 0.5, size
    )
    launched = start_ms - random.integers(30 * DAY_MS, 900 * DAY_MS, size)
    meanwhile = np.flatnonzero(random.random(size) < SHARE_LAUNCHED_MEANWHILE)
    launched[meanwhile] = random.integers(start_ms, end_ms, len(meanwhile))
    launched -= launched % 3_600_000  # Launches happen on the hour.
    return Catalogue(
        np.maximum(price, 1.0), launched, meanwhile[np.argsort(launched[meanwhile], kind="stable")]
    )


def draw_customers(random: np.random.Generator, count: int, start_ms: int, end_ms: int) -> Customers:
    """Invent users: most were there before, others arrive, some fall silent, a few of them return."""
    span = end_ms - start_ms
    first = np.where(
        random.random(count) < SHARE_OLD_CUSTOMERS,
        start_ms,
        start_ms + (random.random(count) * span).astype(np.int64),
    )
    stay = (random.exponential(min(MEAN_STAY_DAYS * DAY_MS, span / 3), count)).astype(np.int64) + span // 200
    last = np.where(random.random(count) < SHARE_LEAVING, np.minimum(first + stay, end_ms), end_ms)
    away = span // 6 + (random.exponential(span / 6, count)).astype(np.int64)
    returns = (random.random(count) < SHARE_RETURNING) & (last + away < end_ms)
    again = np.where(returns, last + away, end_ms)
    return Customers(
        eagerness=random.lognormal(0.0, 1.2, count),
        purse=random.lognormal(0.0, 0.4, count),
        favourite=random.integers(0, len(CATEGORIES), count),
        channel=random.choice(3, count, p=(0.6, 0.25, 0.15)),
        deal_seeker=random.random(count) < SHARE_DEAL_SEEKERS,
        new_product_fan=random.random(count) < SHARE_NEW_PRODUCT_FANS,
        first_ms=first.astype(np.int64),
        last_ms=np.maximum(last, first + 1).astype(np.int64),
        again_first_ms=again.astype(np.int64),
        again_last_ms=np.full(count, end_ms, np.int64),
    )
