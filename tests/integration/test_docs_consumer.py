"""This file runs the consumer of docs/contract.md, as it stands there, on a real broker."""

import re
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from flows.dev.embedded import KafkaServer
from scoring.events import LadderChange
from sinks.change_topic import entry_of
from tests.conftest import Topics

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract.md"
SENT = {"u1": [1, 2, 3, 2, 3, 4], "u2": [1, 1, 2, 1, 2, 3]}


class Finished(Exception):
    """Everything that was to come has come."""


def consumer_code(kafka: KafkaServer, topics: Topics) -> str:
    """Take the consumer out of the document and point it to the test's broker."""
    found = re.search(r"```python\n(import json.*?)```", CONTRACT.read_text(encoding="utf-8"), re.S)
    assert found
    settings = ", ".join(f'"{name}": "{value}"' for name, value in kafka.client_settings.items())
    code = found[1]
    for shown, real in (
        ('"bootstrap.servers": "localhost:9092"', settings),
        ('"coupons"', f'"{topics.group}"'),
        ("tierwise.changes", topics.changes),
    ):
        assert shown in code, shown
        code = code.replace(shown, real)
    return code


def send(kafka: KafkaServer, topics: Topics) -> None:
    """Publish changes of two users, some of them again, as after a crash."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for user_id, numbers in SENT.items():
        for seq in numbers:
            change = LadderChange(
                user_id, seq, "tier", "bronze", "silver", 0, 1, "event", f"e{seq}", 20.0, 0, 0, None,
                None, None, (("spend", 1.0, 20.0),), "shop@1",
            )  # fmt: skip
            entry = entry_of(change)
            producer.produce(topics.changes, key=entry.key, value=entry.value, headers=list(entry.headers))
            producer.produce(topics.changes, key=entry.key, value=None)  # As for a user who is erased.
    assert producer.flush(20) == 0


def test_consumer_of_the_contract__acts_once_on_each_change(kafka: KafkaServer, topics: Topics) -> None:
    """What is sent again is dropped; each user's changes are acted on in the order of `seq`."""
    send(kafka, topics)
    acted: dict[str, list[int]] = {user_id: [] for user_id in SENT}

    def act(change: dict[str, Any]) -> None:
        acted[change["user_id"]].append(change["seq"])
        if all(numbers and numbers[-1] == max(SENT[user_id]) for user_id, numbers in acted.items()):
            raise Finished

    names = {"act": act, "last_seq": lambda user_id: max(acted[user_id], default=0)}
    with pytest.raises(Finished):
        exec(consumer_code(kafka, topics), names)
    assert acted == {user_id: sorted(set(numbers)) for user_id, numbers in SENT.items()}
