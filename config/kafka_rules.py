"""This file holds which librdkafka settings tierwise keeps to itself, and why."""

import logging
import re
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException

from config.draft import Draft

_OFFSETS = "start offsets come from the store, in the same write as the scores"
_SAME_PARTITION = "one worker must get the same partition of every topic"
_DELIVERY = "a change must be published once it is stored, however long the broker is away"

REFUSED: dict[str, str] = {
    "group.id": "say group",
    "auto.commit.interval.ms": _OFFSETS,
    "auto.offset.reset": f"{_OFFSETS}; a shard without one starts at the first message",
    "offset.store.method": _OFFSETS,
    "offset.store.path": _OFFSETS,
    "offset.store.sync.interval.ms": _OFFSETS,
    "group.remote.assignor": _SAME_PARTITION,
    "transactional.id": "changes become durable in the store, not in a Kafka transaction",
    "message.timeout.ms": _DELIVERY,
    "delivery.timeout.ms": _DELIVERY,
    "message.send.max.retries": _DELIVERY,
    "retries": _DELIVERY,
    "delivery.report.only.error": "a change leaves the outbox when its delivery is reported",
    "enabled_events": "deliveries and assignments are told to tierwise, not put into a queue",
}

# Settings that hold a promise with these values and break it with others.
ALLOWED: dict[str, tuple[tuple[str, ...], str]] = {
    "enable.auto.commit": (("false",), _OFFSETS),
    "auto.commit.enable": (("false",), _OFFSETS),
    "enable.auto.offset.store": (("false",), _OFFSETS),
    "enable.partition.eof": (("true",), "time moves on in silence because the end of a partition is seen"),
    "partition.assignment.strategy": (("range",), _SAME_PARTITION),
    "isolation.level": (("read_committed",), "an aborted order must not be scored"),
    "enable.idempotence": (("true",), "a retry must not publish a change twice or out of order"),
    "enable.gapless.guarantee": (("true",), "no change may overtake one that failed"),
    "api.version.request": (("true",), "without it the broker is given neither headers nor idempotence"),
    "acks": (("all", "-1"), "a change must survive the loss of a broker"),
    "request.required.acks": (("all", "-1"), "a change must survive the loss of a broker"),
    "max.in.flight": (("1", "2", "3", "4", "5"), "a retry must not reorder a user's changes"),
    "max.in.flight.requests.per.connection": (
        ("1", "2", "3", "4", "5"),
        "a retry must not reorder a user's changes",
    ),
    "queuing.strategy": (("fifo",), "a user's changes are published in order"),
    "group.protocol": (("classic",), _SAME_PARTITION),
    "partitioner": (
        ("consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"),
        "all changes of a user belong in one partition",
    ),
}

# Settings that hold a promise from this value on.
AT_LEAST: dict[str, tuple[int, str]] = {
    "message.max.bytes": (131_072, "a dead letter of 64 KiB must fit, or it blocks all behind it"),
    "queue.buffering.max.kbytes": (1_024, "a message that never fits blocks all behind it"),
}

_SECRET = re.compile(
    r"password|passphrase|secret|\.pem$|oauthbearer\.config|token(?!\.endpoint)", re.IGNORECASE
)

_CONNECTING = ("bootstrap.servers", "metadata.broker.list", "debug")
_NO_SUCH = "No such configuration property"
_NEEDS_OTHERS = "librdkafka refuses it: Failed to create"


def is_secret(key: str) -> bool:
    """Tell whether a setting's value must not be printed."""
    return _SECRET.search(key) is not None


def as_text(value: str | float | bool) -> str:
    """Write a value as librdkafka reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def read_kafka(draft: Draft, defaults: Mapping[str, str]) -> dict[str, str]:
    """Answer librdkafka's settings as text, defaults filled in; those that break a promise are problems."""
    given = {key: as_text(draft.value("kafka", key, default="")) for key in draft.keys("kafka")}
    for key, value in given.items():
        if key in REFUSED:
            draft.report(("kafka", key), f"is tierwise's own: {REFUSED[key]}")
        elif key in ALLOWED and value.lower() not in ALLOWED[key][0]:
            values, reason = ALLOWED[key]
            draft.report(("kafka", key), f"must be {' or '.join(values)}, got {value!r}: {reason}")
        elif key in AT_LEAST and value.isdecimal() and int(value) < AT_LEAST[key][0]:
            least, reason = AT_LEAST[key]
            draft.report(("kafka", key), f"must be at least {least}, got {value}: {reason}")
    _ask_librdkafka(draft, {key: value for key, value in given.items() if key not in REFUSED})
    return {**defaults, **given}


def _ask_librdkafka(draft: Draft, given: dict[str, str]) -> None:
    """Let librdkafka itself judge: each setting alone, then all of them together; nothing is connected."""
    accepted = {}
    for key, value in given.items():
        if key in _CONNECTING or not draft.structure.sound("kafka", key):
            continue
        complaint = _complaint({key: value})
        if complaint and not complaint.startswith(_NEEDS_OTHERS):
            draft.report(("kafka", key), "librdkafka refuses its value" if is_secret(key) else complaint)
        else:
            accepted[key] = value
    complaint = _complaint(accepted)
    if complaint:
        draft.report(("kafka",), complaint)


def _complaint(given: dict[str, str]) -> str:
    silent = logging.Logger("librdkafka", logging.CRITICAL + 1)
    try:
        Consumer({**given, "group.id": "check"}, logger=silent).close()
    except KafkaException as error:
        reason = " ".join(error.args[0].str().split())
        return "unknown to librdkafka" if reason.startswith(_NO_SUCH) else f"librdkafka refuses it: {reason}"
    except (AttributeError, TypeError, ValueError):
        return "takes a function, which a file cannot hold"
    return ""
