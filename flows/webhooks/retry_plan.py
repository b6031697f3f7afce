"""When a webhook is tried again. This file counts attempts along the plan, and obeys `Retry-After`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

JITTER = 0.2
"""By so much of itself a delay is longer at most, so that what failed together is not tried together again."""
RETRY_AFTER_MAX_S = 86_400
HELD_STATUSES = (429, 503)
"""Answers that may say how long the whole endpoint wants to be left alone."""


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """Say how long to wait before each attempt; the first delay is that of the first attempt."""

    delays_ms: Sequence[int]

    def delay_ms(self, attempts: int) -> int | None:
        """Answer how long to wait after so many attempts; None when the plan is used up."""
        if attempts >= len(self.delays_ms):
            return None
        return round(self.delays_ms[attempts] * (1 + JITTER * random.random()))


def retry_after_s(text: str | None, now_s: float) -> float:
    """Answer how long a `Retry-After` asks to wait, in seconds or until a date; 0 when it asks for nothing."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:10]), RETRY_AFTER_MAX_S)
    try:
        asked_s = parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, OverflowError):
        return 0.0
    return min(max(asked_s, 0.0), RETRY_AFTER_MAX_S)
