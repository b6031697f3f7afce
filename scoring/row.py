"""This file lays out a user's row: fixed-width 8-byte words whose places the policy decides."""

import hashlib
import json
from dataclasses import asdict, dataclass

from scoring.policy import Feature, Policy

NONE = -(2**63)  # "has not happened"
NEVER = 2**63 - 1  # "will not happen"

# The user's own words, then per topic the offset of the last message decided for the user.
NEWEST, FIRST_SEEN, AS_OF, SEQ, ORDERS, SPEND, STALE = 0, 1, 2, 3, 4, 5, 6
IDS_AT, IDS_CAP, IDS_COUNT, ORDERS_AT, ORDERS_CAP, ORDERS_COUNT = 7, 8, 9, 10, 11, 12
OFFSETS = 13

# The words of a ladder.
RUNG, SINCE, BELOW_SINCE, LAST_FALL, FALLS_AT = 0, 1, 2, 3, 4
LADDER_WORDS = 5

# The words of a feature.
DECAYED_VALUE, DECAYED_AT = 0, 1
WINDOW_SUM, WINDOW_TAIL, WINDOW_NEWEST, WINDOW_RING = 0, 1, 2, 3
TOTAL = 0
SINCE_KEPT, SINCE_NOW, UNTIL_KEPT, UNTIL_NOW = 0, 1, 2, 3  # kept: what no refund can undo
DAYS_ANCHOR, DAYS_KEPT, DAYS_NOW = 0, 1, 2

# The variable part behind the row: remembered event ids and orders.
ID_WORDS = 2  # hash, event time in units of 2 ** ID_TIME_BITS ms
ID_TIME_BITS = 16
ORDER_HASH, ORDER_TIME, ORDER_LEFT, ORDER_MATCH, ORDER_TYPE = 0, 1, 2, 3, 4
ORDER_WORDS = 5
ORDER_GONE = -1  # in ORDER_TYPE: nothing is left of it

LINE_WORDS = 8  # of what a CPU fetches at once

DAY_MS = 86_400_000
FORMAT = 3  # rises when the meaning of a word changes with the same policy


def ring_size(feature: Feature) -> int:
    """Count the buckets that can be live at once: both ends partly, and one more for a 23-hour day."""
    return -(-feature.span_ms // feature.bucket_ms) + 2


def feature_words(feature: Feature) -> int:
    """Answer how many words a feature keeps in a row."""
    if feature.kind == "window":
        return WINDOW_RING + ring_size(feature)
    return {"decayed": 2, "total": 1, "since": 4, "active_days": 3, "ratio": 0}[feature.kind]


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Where everything of a policy stands in a row.

    Attributes:
        width: the words that are stored.
        work_width: these and, for each ladder of a user at work, its headroom; whole lines of the CPU's caches.
    """

    topics: int
    ladders_at: int
    feature_at: tuple[int, ...]
    width: int
    work_width: int
    fingerprint: int


def layout_of(policy: Policy, topics: int) -> Layout:
    """Lay a policy's rows out; the fingerprint differs when a stored row could be misread."""
    ladders_at = OFFSETS + topics
    at = ladders_at + LADDER_WORDS * len(policy.ladders)
    feature_at = []
    for feature in policy.features:
        feature_at.append(at)
        at += feature_words(feature)
    described = {"format": FORMAT, "topics": topics, "policy": asdict(policy)}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).digest()
    fingerprint = int.from_bytes(digest[:7], "little")
    work_width = -(-(at + len(policy.ladders)) // LINE_WORDS) * LINE_WORDS
    return Layout(topics, ladders_at, tuple(feature_at), at, work_width, fingerprint)
