"""The events of the benchmarks: small, seeded, of users drawn in one of three ways. This file writes them."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np

from flows.dev.generator import CLICKSTREAM, ORDERS, Message

SPAN_MS = 60_000
SHARES = (("page_view", 88), ("add_to_cart", 10), ("order_paid", 2))
SEED = 7
ZIPF_EXPONENT = 1.0
ZIPF_AT_ONCE = 65_536
SCATTER = 2_654_435_761
"""A prime: times it, ranks that follow each other become ids that do not."""
SESSIONS_OPEN = 2_000
SESSION_EVENTS_MEAN = 12


def uniform(users: int, rng: random.Random) -> Iterator[int]:
    """Draw any user each time: the worst case for whoever keeps users in caches."""
    return (rng.randrange(users) for _ in repeat(None))


def zipf(users: int, rng: random.Random) -> Iterator[int]:
    """Draw the user of rank r in proportion to 1 / r: a few make most of the events."""
    shares = np.cumsum(1.0 / np.arange(1, users + 1) ** ZIPF_EXPONENT)
    draws = np.random.default_rng(rng.randrange(2**32))
    ranks = (
        np.searchsorted(shares, draws.random(ZIPF_AT_ONCE) * shares[-1], side="right") for _ in repeat(None)
    )
    return chain.from_iterable(((SCATTER * (some + 1)) % users).tolist() for some in ranks)


def session(users: int, rng: random.Random) -> Iterator[int]:
    """Draw one of 2,000 sessions that are open; each has 12 events in the mean, then another user's begins."""
    opened = [rng.randrange(users) for _ in range(SESSIONS_OPEN)]
    while True:
        place = rng.randrange(SESSIONS_OPEN)
        yield opened[place]
        if rng.random() < 1 / SESSION_EVENTS_MEAN:
            opened[place] = rng.randrange(users)


LOCALITIES: dict[str, Callable[[int, random.Random], Iterator[int]]] = {
    "uniform": uniform,
    "zipf": zipf,
    "session": session,
}


def events(count: int, users: int, end_ms: int, locality: str = "uniform") -> Iterator[Message]:
    """Write events of about 180 bytes of users drawn as `locality` says over the minute before `end`."""
    rng = random.Random(SEED)
    names, weights = zip(*SHARES, strict=True)
    kinds = rng.choices(names, weights, k=count)
    # Uniform draws share the generator, as saved results were made; the others do not change what is bought.
    drawn = LOCALITIES[locality](users, rng if locality == "uniform" else random.Random(SEED + 1))
    for number, kind in enumerate(kinds):
        at_ms = end_ms - SPAN_MS + SPAN_MS * number // count
        user, item = f"u{next(drawn):07d}", rng.randrange(50_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03d}Z"
        text = (
            f'{{"event_id":"e{number:010d}","user_id":"{user}","type":"{kind}","event_time":"{stamp}",'
            f'"item_id":"i{item:06d}","category":"c{item % 40:02d}","channel":"app"'
        )
        if kind == "order_paid":
            text += f',"order_id":"o{number:010d}","amount":"{rng.randrange(900, 90_000) / 100:.2f}"'
        topic = ORDERS if kind == "order_paid" else CLICKSTREAM
        yield Message(topic, user.encode(), (text + "}").encode(), at_ms)
