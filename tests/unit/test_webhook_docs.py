"""This file holds docs/webhooks.md and the schema of webhooks to the code."""

import json
import re
import time
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest

from config.schema_check import schema
from config.settings import read_settings
from config.webhook_settings import RETRY_PLAN, decode_secret
from flows.webhooks.change import Change, read_change
from flows.webhooks.lanes import Delivery
from flows.webhooks.metrics import WebhookMetrics
from flows.webhooks.parked import REASONS, headers_for, key_of
from flows.webhooks.request import FAILURES
from flows.webhooks.signing import signed_headers
from sinks.change_topic import entry_of
from tests.unit.docs_examples import ROOT, code_spans, example, text_of
from tests.unit.message_schemas import problems
from tests.unit.observed_metrics import served
from tests.unit.test_asyncapi import MESSAGES, checked
from tests.unit.test_change_topic import CHANGE
from tests.unit.test_operations import promtool, run

__all__ = ["promtool"]

PAGE = "docs/webhooks.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "b" * 40


def rows(heading: str) -> list[list[str]]:
    """Answer the cells of the first table behind a heading."""
    table = re.search(r"((?:^\|.*\n)+)", text_of(PAGE).partition(f"## {heading}\n")[2], re.M)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()[2:]]


def real_change() -> Change:
    """Read a change as the worker writes it."""
    entry = entry_of(CHANGE)
    message: Any = SimpleNamespace(
        headers=lambda: list(entry.headers),
        value=lambda: entry.value,
        partition=lambda: 3,
        offset=lambda: 17,
        timestamp=lambda: (1, 5),
    )
    change = read_change(message)
    assert change is not None
    return change


def test_page__verifier_takes_what_is_signed_and_nothing_else() -> None:
    """The snippet verifies a real webhook with either secret; it refuses another body, id, time and secret."""
    names: dict[str, Any] = {}
    exec(example(PAGE, "verify"), names)
    verify, change, now_s = names["verify"], real_change(), int(time.time())
    headers = signed_headers([decode_secret(SECRET), decode_secret(OTHER)], change.id, now_s, change.body)
    for secret in (SECRET, OTHER):
        verify(secret, headers, change.body)
    old = signed_headers([decode_secret(SECRET)], change.id, now_s - 301, change.body)
    for wrong_secret, wrong_headers, wrong_body in (
        ("whsec_" + "c" * 40, headers, change.body),
        (SECRET, headers, change.body + b" "),
        (SECRET, headers | {"webhook-id": "u2:1"}, change.body),
        (SECRET, headers | {"webhook-timestamp": str(now_s - 1)}, change.body),
        (SECRET, old, change.body),
    ):
        with pytest.raises(ValueError, match=r"wrong signature|too old"):
            verify(wrong_secret, wrong_headers, wrong_body)


def test_page__names_every_key_of_an_endpoint_with_its_default() -> None:
    """A key that the schema knows has a row, and the row says what holds when it is left out."""
    endpoints = schema("settings")["properties"]["webhooks"]["properties"]["endpoints"]
    keys = endpoints["additionalProperties"]["properties"]
    found = {key.strip("`"): shown.strip("`") for key, shown, _ in rows("Every key of an endpoint")}
    assert found.keys() == keys.keys()
    for key, rule in keys.items():
        if "default" in rule:
            assert found[key] == str(rule["default"]), key


def test_page__shows_the_plan_that_is_the_default() -> None:
    """The waits of the table are those of the settings."""
    (waits,) = rows("When it fails")
    shown = [text.replace(" ", "").replace("min", "m") for text in waits[1:]]
    assert ["0s" if text == "0" else "1d" if text == "24h" else text for text in shown] == [*RETRY_PLAN]
    assert read_settings(ROOT / "docs" / "no-such-file.yaml", {})[0].redacted()["webhooks"]["retry_plan"] == [
        *RETRY_PLAN
    ]


def test_page__pace_is_that_of_the_result() -> None:
    """What one process delivers is quoted as the committed medians."""
    result = json.loads((ROOT / "benchmarks/results/webhooks.json").read_text(encoding="utf-8"))
    shares, paces = result["share_of_client"], result["per_s"]
    service, client, kept_open = (median(paces[name]) for name in ("service", "client", "kept_open"))
    share = f"{median(shares):.2f} times ({min(shares):.2f} to {max(shares):.2f} in {len(shares)} rounds)"
    page = text_of(PAGE)
    assert share in page
    assert f"{service:,.0f} a second" in page
    assert f"sends {kept_open / client:.1f} times as many" in page


def test_page__describes_every_metric_reason_and_failure() -> None:
    """Each metric has a row with type and labels; each reason and each class of failure is named."""
    found = served(WebhookMetrics("tierwise", "1", ["one"]).registry)
    shown = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows("Metrics")
    }
    assert shown == found
    assert [reason.strip("`") for reason, _ in rows("Parked changes")] == [*REASONS]
    assert not {*FAILURES} - code_spans(PAGE)


def test_promtool__finds_nothing_wrong_with_the_metrics(promtool: str) -> None:
    """Names, units and help texts are as Prometheus wants them."""
    run(promtool, "check", "metrics", text=generate_latest(WebhookMetrics("tierwise", "1", ["one"]).registry))


def test_webhook__body_and_parked_headers_are_as_described() -> None:
    """What is sent and what is parked fits the schema and the AsyncAPI document, and is closed."""
    change = real_change()
    body = json.loads(change.body)
    assert problems("webhook", body) == []
    assert problems("webhook", body | {"more": 1}) != []
    assert problems("webhook", body | {"data": {"seq": 1}}) != []
    assert body["data"] == json.loads(entry_of(CHANGE).value or b"")
    for reason in REASONS:
        delivery = Delivery(change, 0, attempts=3, why="status 500")
        headers = {
            name: text.decode()
            for name, text in headers_for(delivery, "one", reason, 1_000)
            if isinstance(text, bytes)
        }
        assert checked(MESSAGES["parkedWebhook"]["headers"], headers) == []
        assert problems("webhook#/$defs/headers", headers | {"colour": "red"}) != []
    assert checked(MESSAGES["parkedWebhook"]["payload"], body) == []
    key = MESSAGES["parkedWebhook"]["bindings"]["kafka"]["key"]
    assert checked(key, key_of("one", change.id).decode()) == []
    reasons = schema("webhook")["$defs"]["headers"]["properties"]["reason"]["enum"]
    assert reasons == [*REASONS]


def test_change__that_is_none_is_passed_over() -> None:
    """Tombstones, other people's messages and broken ones are not sent."""
    entry = entry_of(CHANGE)
    headers = list(entry.headers)
    without_id = [pair for pair in headers if pair[0] != "ce_id"]
    for value, given in (
        (None, []),
        (entry.value, []),
        (entry.value, without_id),
        (b"{}", headers),
        (b"\xff", headers),
        (entry.value, [("ce_id", b"\xff"), *without_id]),
    ):
        message: Any = SimpleNamespace(headers=lambda given=given: given, value=lambda value=value: value)
        assert read_change(message) is None
