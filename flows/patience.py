"""This file waits for a broker that does not answer: it asks again, for so long, and says who did not answer."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from flows.log import log

Answered = TypeVar("Answered")

PAUSE_S = 1.0
UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


class BrokerUnavailable(Exception):
    """Say that no broker answered for as long as we were willing to wait."""


class BrokerRefused(BrokerUnavailable):
    """Say that login or certificate were refused, by the brokers or by us: settings, not time, help."""


def patiently(
    ask: Callable[[], Answered],
    wait_s: float,
    beat: Callable[[], None] = lambda: None,
    why: Callable[[KafkaException], str] = str,
) -> Answered:
    """
    Ask until a broker answers; `beat` is called before each attempt.

    Args:
        why: says what an attempt failed of, or raises when the next one would as well.

    Raises:
        BrokerUnavailable: nobody answered for this long.
        KafkaException: a topic is not there, which asking again does not change.
    """
    give_up_s = time.monotonic() + wait_s
    while True:
        beat()
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() in UNKNOWN:
                raise
            reason = why(error)
            if time.monotonic() > give_up_s:
                raise BrokerUnavailable(f"kafka: no broker answered for {wait_s:.0f} s: {reason}") from error
            log("warn", "broker.awaited", error=reason)
            time.sleep(PAUSE_S)
