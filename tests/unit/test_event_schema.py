"""
That the schema of events agrees with the decoder, as far as its language goes.

It admits whatever is applied, so that no sender who checks against it is held back. Of what is refused it
admits only what JSON Schema cannot say: the six kinds in UNSAID, and what depends on clocks and stored users.
"""

import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from config.policy_file import parse_policy
from scoring.policy import Policy
from scoring.wire import Rejection, WireReader, parse
from tests.integration.hostile import ODD_IDS, hostile
from tests.property.test_decoder_fast_path import good_message
from tests.strategies import RUBBISH, Stream, streams
from tests.unit import test_decoder as of_decoder
from tests.unit.message_schemas import problems
from tests.unit.policies import shop_policy

EVENT_BYTES_MAX = 65_536
NOW_MS = of_decoder.NOW_MS
NOT_OF_THE_VALUE = ("too_large", "not_json")
UNSAID = {
    "bytes": "a user id of at most 256 characters and more bytes",
    "calendar": "29 February of a common year",
    "ends": "a time that its offset puts before 1970 or after 9999",
    "zero": "a time that is not whole, and so small that a reader of floats takes it for 0",
    "text range": "decimal text above the maximum",
    "currency": "a number above 10^15 of the currency's minor units",
}


def buyers_policy() -> Policy:
    """Build a policy with the event types of the corpora."""
    events: dict[str, Any] = {name: {} for name in ("view", "visit", "cart", "tip")}
    events |= {name: {"order": True} for name in ("buy", "subscribe")}
    events |= {name: {"refund": True} for name in ("refund", "return")}
    document = {
        "policy": "shop", "version": 1, "currency": "CNY", "events": events,
        "features": {"views": {"kind": "total", "events": ["view"]}},
        "scores": {"value": {"parts": {"views": [[0, 0], [9, 9]]}}},
        "tags": {"keen": {"score": "value", "enter_at": 5}},
    }  # fmt: skip
    return parse_policy(document, "test")


SHOP, BUYERS = shop_policy(), buyers_policy()


def decoder_messages() -> list[bytes]:
    """List what the decoder's own tests decode, and each of their literals as time, launch, money and id."""
    decoder, view, order = of_decoder, of_decoder.VIEW, of_decoder.ORDER

    def cases(test: Any) -> list[Any]:
        return list(test.pytestmark[0].args[1])

    found = [value for value, _ in cases(decoder.test_decoder__each_broken_rule_has_its_reason)]
    found += [
        value
        for value, _ in cases(decoder.test_decoder__a_message_counts_where_type_and_every_restriction_hold)
    ]
    for test in (
        decoder.test_decoder__money_is_rounded_half_even_from_its_decimal_text,
        decoder.test_decoder__money_that_is_none_is_refused,
        decoder.test_decoder__times_are_unix_milliseconds_or_rfc_3339,
        decoder.test_decoder__times_that_are_none_are_refused,
    ):
        for literal, _ in cases(test):
            found += [decoder.raw(order, field, literal) for field in ("amount", "event_time", "order_id")]
            found += [decoder.raw(view, field, literal) for field in ("discount_amount", "item_launch_at")]
    for time in ("1969-12-31T23:30:00-01:00", "1969-12-31T12:00:00-01:00", "1969-12-31T23:30:00Z"):
        found.append(decoder.message(view, event_time=time))
    found += [
        decoder.message(order, amount=amount) for amount in ("-0", "-0.00e3", "-.0", "-0.1", 10**15 + 1)
    ]
    return found


def reason_of(value: bytes | None, policy: Policy) -> str:
    """Name what the checked path finds wrong; empty for a good event."""
    answer = WireReader(policy, EVENT_BYTES_MAX).read(value)
    return answer.reason.label if isinstance(answer, Rejection) else ""


def plain(value: Any) -> Any:
    """Turn exact numbers into those of an ordinary JSON parser."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return float(value) if value.is_zero() or value.adjusted() < 300 else 1e300
    return min(value, 10**300) if type(value) is int else value


def schema_problems(value: bytes, policy: Policy) -> list[str]:
    """Check a message against the schema of its type."""
    document = plain(parse(value))
    orders = {event.name for event in policy.events if event.order or event.refund}
    kind = document.get("type") if isinstance(document, dict) else None
    return problems("event#/$defs/order" if isinstance(kind, str) and kind in orders else "event", document)


def unsaid(event: dict[str, Any]) -> str | None:
    """Name the rule that a refused event broke and that the schema has no words for."""
    user_id, amounts = event["user_id"], [event.get("amount"), event.get("discount_amount")]
    times = [time for time in (event["event_time"], event.get("item_launch_at")) if isinstance(time, str)]
    if len(user_id) <= 256 < len(user_id.encode()):
        return "bytes"
    if any("-02-29T" in time for time in times):
        return "calendar"
    if any(time.startswith(("1969-12-31", "1970-01-01", "9999-12-31")) for time in times):
        return "ends"
    if 0.0 in (event["event_time"], event.get("item_launch_at")):
        return "zero"
    if any(isinstance(amount, str) for amount in amounts):
        return "text range"
    return "currency" if any(amount and amount > 10**13 for amount in amounts) else None


def corpora() -> list[tuple[bytes | None, Policy]]:
    """List messages, good and bad, with the policy they are meant for."""
    dice = random.Random(5)
    odd = [of_decoder.message(of_decoder.VIEW, user_id=user_id) for user_id in ODD_IDS]
    for_shop = [*decoder_messages(), *odd, *(good_message(dice) for _ in range(300))]
    for_buyers = [*(case.value for case in hostile(0, NOW_MS, "u1")), *RUBBISH]
    return [(value, SHOP) for value in for_shop] + [(value, BUYERS) for value in for_buyers]


def test_schema__agrees_with_the_decoder_on_every_corpus() -> None:
    """What is applied is admitted, what is refused is not, but for what is named; each name has a case."""
    fates, names = Counter[str](), Counter[str]()
    for value, policy in corpora():
        reason = reason_of(value, policy)
        fates[reason] += 1
        if reason in NOT_OF_THE_VALUE:
            continue
        assert value is not None
        found = schema_problems(value, policy)
        if not reason:
            assert found == [], value[:200]
        elif not found:
            why = unsaid(json.loads(value))
            assert why is not None, (reason, value[:200])
            names[why] += 1
    assert set(names) == set(UNSAID)
    assert {"", "missing_field", "wrong_type", "out_of_range"} < set(fates)
    assert min(fates.values()) >= 5, fates


@settings(max_examples=60, deadline=None)
@given(stream=streams())
def test_schema__admits_whatever_a_stream_has_that_is_applied(stream: Stream) -> None:
    """No event that the decoder takes is refused by the schema."""
    for messages in stream.topics:
        for _, value, _ in messages:
            if value is not None and not reason_of(value, BUYERS):
                assert schema_problems(value, BUYERS) == [], value[:200]


@pytest.mark.parametrize("field", ["order_id", "amount"])
def test_schema__an_order_needs_more_than_a_view(field: str) -> None:
    """The part for orders and refunds asks for what only they need, and not for null."""
    view, order = of_decoder.VIEW, of_decoder.ORDER
    assert problems("event", view | {field: None}) == problems("event", view) == []
    rest = {key: value for key, value in order.items() if key != field}
    assert problems("event#/$defs/order", order) == []
    assert problems("event#/$defs/order", rest) != []
    assert problems("event#/$defs/order", order | {field: None}) != []
