"""`tierwise dev load`: a shop that goes on, sent to brokers that are already there. This file runs it."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import KafkaException

from config.settings import Settings
from flows.dev.generator import CLICKSTREAM, ORDERS, Message, generate
from flows.dev.load import Loader, LoadFailed
from flows.patience import BrokerUnavailable
from flows.topics import UnfitTopics, check_topics

RATE, USERS = 200.0, 5_000
STORY_MS = 900_000
"""The plan of a story is in memory, about 150 bytes a message."""
DONE, FAILED, UNFIT = 0, 1, 2


def run_load(settings: Settings, rate: float, users: int, seconds: float | None) -> int:
    """Send a shop's events at the moment each arrives, until asked to stop; answer the exit code."""
    topics = topic_names(settings.topics.input)
    try:
        check_topics(settings.kafka, settings.topics.input, ())
        start_ms = time.time_ns() // 1_000_000
        end_ms = None if seconds is None else start_ms + round(seconds * 1000)
        loader = Loader(
            settings.kafka["bootstrap.servers"],
            stories(rate, users, start_ms, end_ms),
            topics=topics,
            as_it_happens=True,
            client=settings.kafka,
        )
        _stop_when_asked(loader)
        print(f"about {rate:g} messages a second to {', '.join(topics.values())}", flush=True)
        print(f"sent {loader.run()} messages", flush=True)
    except UnfitTopics as error:
        print(f"tierwise dev load: {error}", file=sys.stderr)
        return UNFIT
    except (BrokerUnavailable, KafkaException, LoadFailed) as error:
        print(f"tierwise dev load: {error}", file=sys.stderr)
        return FAILED
    return DONE


def stories(rate: float, users: int, start_ms: int, end_ms: int | None) -> Iterator[Message]:
    """
    Yield one story behind the other, in the order of arrival, up to `end_ms` or for ever.

    What would arrive behind the end of its story is left out, a message in a hundred or two.
    """
    while end_ms is None or start_ms < end_ms:
        until_ms = start_ms + STORY_MS if end_ms is None else min(start_ms + STORY_MS, end_ms)
        # Named after its beginning: a load that is started again says nothing that was said before.
        seed, events = start_ms // 1000, max(1, round(rate * (until_ms - start_ms) / 1000))
        for message in generate(events, users, seed, start_ms, until_ms, order_prefix=f"ord-{seed}-"):
            if message.ingest_time_ms >= until_ms:
                break
            yield message
        start_ms = until_ms


def topic_names(inputs: Sequence[str]) -> dict[str, str]:
    """Say which of the topics that are read take the shop's clicks, and which its orders."""
    return {
        name: name if name in inputs else inputs[place] for name, place in ((CLICKSTREAM, 0), (ORDERS, -1))
    }


def _stop_when_asked(loader: Loader) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loader.stop())
