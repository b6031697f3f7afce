"""Tests of `tierwise webhooks` on a real broker, with real endpoints: what arrives, how often, in which order."""

import json
from collections import Counter
from pathlib import Path

import pytest

from config.webhook_settings import decode_secret
from flows.dev.embedded import KafkaServer
from flows.webhooks.signing import signed_headers
from tests.conftest import Topics
from tests.integration.webhook_site import SECRET, Call, Hooks, Receiver, Reply, in_order

NEW_SECRET = "whsec_" + "b" * 40


@pytest.fixture
def hooks(kafka: KafkaServer, topics: Topics, prefix: str, tmp_path: Path) -> Hooks:
    """Prepare a change topic."""
    return Hooks(kafka, topics, prefix, tmp_path)


def is_signed(call: Call, *secrets: str) -> bool:
    """Tell whether a request is signed with each of these secrets."""
    now_s = int(call.headers["webhook-timestamp"])
    keys = [decode_secret(secret) for secret in secrets]
    return signed_headers(keys, call.id, now_s, call.body).items() <= call.headers.items()


def test_webhooks__each_wanted_change_arrives_once_signed_and_in_order(hooks: Hooks) -> None:
    """Filters hold, the body is the change, each user's come by `seq`; what is no change is passed over."""
    hooks.publish_rubbish()
    ids = hooks.publish(*(f"u{number % 20}" for number in range(200)))
    others = hooks.publish("u1", "u2", ladder="aipl") + hooks.publish("u3", up=False)
    ups = hooks.publish("u3")
    with Receiver() as all_of_it, Receiver() as some:
        endpoints = {
            "all_of_it": all_of_it.settings(secrets=[SECRET, NEW_SECRET]),
            "some": some.settings(ladders=["tier"], directions=["up"], causes=["event", "time"]),
        }
        hooks.write(endpoints)
        with hooks.run() as process:
            process.wait_until(lambda: len(all_of_it.calls) >= 204 and len(some.calls) >= 201)
            process.wait_until(lambda: process.metric("delivered_total") == 405)
            assert process.metric("filtered_total") == 3 + 3 + 3
            assert process.metric("attempt_seconds_count") == process.metric("delivery_seconds_count") == 405
            process.wait_until(lambda: process.metric("lag_messages") == 0)
            assert process.metric("owned_partitions") == 2 * hooks.topics.partitions
            assert process.stop() == 0, process.log
    assert sorted(all_of_it.ids) == sorted([*ids, *others, *ups])
    assert sorted(some.ids) == sorted([*ids, *ups])
    assert in_order(all_of_it.ids)
    for call in all_of_it.calls:
        assert is_signed(call, SECRET, NEW_SECRET)
        document = json.loads(call.body)
        assert (document["type"], document["timestamp"]) == (
            "tierwise.ladder.changed.v1",
            "1970-01-01T00:00:00.000Z",
        )
        assert json.dumps(document["data"], separators=(",", ":")).encode() == hooks.sent[call.id]
        assert call.headers["content-type"] == "application/json"
        assert call.headers["host"] == f"127.0.0.1:{all_of_it.port}"


def test_webhooks__a_failure_is_tried_again_under_the_same_id(hooks: Hooks) -> None:
    """Id and body stay over attempts; later changes of the user wait, those of others do not."""
    failing = Counter({"u1:1": 2})
    before: list[str] = []

    def reply(call: Call) -> Reply:
        if failing[call.id]:
            failing[call.id] -= 1
            return 500, {}
        before.append(call.id)
        return 204, {}

    hooks.publish("u1", "u1", "u2", "u3")
    with Receiver(reply) as receiver:
        hooks.write({"one": receiver.settings()}, retry_plan=["0s", "500ms", "500ms"])
        with hooks.run() as process:
            process.wait_until(lambda: len(before) == 4)
            process.wait_until(lambda: process.metric("failed_total") == 2)
            assert (
                process.metric("attempt_seconds_count") == 2 + process.metric("delivery_seconds_count") == 6
            )
            assert process.stop() == 0, process.log
    tries = [call for call in receiver.calls if call.id == "u1:1"]
    assert len(tries) == 3
    assert len({call.body for call in tries}) == 1
    assert all(is_signed(call, SECRET) for call in tries)
    assert before[-2:] == ["u1:1", "u1:2"]


def test_webhooks__410_disables_and_resend_brings_all(
    hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    """After one 410 nothing more is sent, all is parked with the reason; resend sends each once, in order."""
    from flows.cli import main

    hooks.publish("u1")
    with Receiver(lambda _: (410, {})) as receiver:
        hooks.write({"one": receiver.settings(concurrency=1)})
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("disabled") == 1)
            ids = ["u1:1", *hooks.publish(*["u1", "u2", "u3"] * 20)]
            process.wait_until(lambda: process.metric("parked_total") == len(ids))
            assert process.stop() == 0, process.log
        assert receiver.ids == ["u1:1"]
        assert process.log.count("event=endpoint.disabled") == 1
        assert sorted(hooks.parked_ids("gone")) == sorted(ids)

        def tell(*words: str, code: int = 0) -> list[str]:
            assert main(["webhooks", *words, "--settings", str(hooks.settings)]) == code
            return capsys.readouterr().out.splitlines()

        assert tell("list")[-1] == f"{len(ids)} changes parked: one gone {len(ids)}"
        assert tell("list", "--reason", "crowded_out") == ["0 changes parked"]
        assert tell("resend", "--all", code=1) == [
            "resent 0 changes; left 61: behind one that failed 58, status 410 3"
        ]
        receiver.calls.clear()
        receiver.reply = lambda _: (200, {})
        assert tell("resend", "u2:2", "u2:1", "--dry-run")[-1] == "would resend 2 changes"
        assert tell("resend", "u2:2", "u2:1") == ["resent 2 changes"]
        assert tell("resend", "u2:2", code=1) == ["resent 0 changes"]
        assert tell("resend", "--endpoint", "one") == [f"resent {len(ids) - 2} changes"]
        assert sorted(receiver.ids) == sorted(ids)
        assert in_order(receiver.ids)
        assert all(is_signed(call, SECRET) for call in receiver.calls)
        assert tell("list") == ["0 changes parked"]


def test_webhooks__retry_after_is_obeyed(hooks: Hooks) -> None:
    """What 429 and 503 ask for holds for the whole endpoint, although the plan would be quicker."""
    asked = [(503, {"Retry-After": "1"}), (429, {"Retry-After": "1"})]
    with Receiver(lambda _: asked.pop() if asked else (200, {})) as receiver:
        hooks.write({"one": receiver.settings(concurrency=1)})
        hooks.publish("u1", "u2")
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("delivered_total") == 2)
            assert process.stop() == 0, process.log
    times = [call.at_s for call in receiver.calls]
    assert len(times) == 4
    assert times[1] - times[0] >= 0.9
    assert times[2] - times[1] >= 0.9


def test_webhooks__a_mass_of_changes_goes_at_the_rate(hooks: Hooks) -> None:
    """However much waits, and however quickly it is taken, an endpoint gets no more a second than it asked for."""
    rate, late_s = 40, 1.0
    ids = hooks.publish(*(f"u{number}" for number in range(100)))
    with Receiver() as receiver:
        hooks.write({"one": receiver.settings(rate=rate)})
        with hooks.run() as process:
            process.wait_until(lambda: len(receiver.calls) >= len(ids))
            assert process.stop() == 0, process.log
            assert process.log.count("event=webhooks.started") == 1
    arrived_s = sorted(call.at_s for call in receiver.calls)
    assert arrived_s[-1] - arrived_s[0] > len(ids) / rate - late_s


def test_webhooks__a_redirect_is_a_failure_and_not_followed(hooks: Hooks) -> None:
    """Nobody but the endpoint that was named gets a change, whatever it answers."""
    with Receiver() as elsewhere, Receiver() as good:
        where = f"http://127.0.0.1:{elsewhere.port}/"
        with Receiver(lambda _: (307, {"Location": where})) as receiver:
            hooks.write({"one": receiver.settings(), "good": good.settings()})
            hooks.publish("u1")
            with hooks.run() as process:
                process.wait_until(lambda: process.metric("parked_total") == 1)
                assert process.stop() == 0, process.log
        assert receiver.ids == ["u1:1"] * 3
        assert elsewhere.calls == []
        assert good.ids == ["u1:1"]
    (letter,) = hooks.letters()
    assert (letter.reason, letter.text("detail"), letter.text("attempts")) == (
        "plan_used_up",
        "status 307",
        "3",
    )


def test_webhooks__a_dead_endpoint_holds_up_nobody(hooks: Hooks) -> None:
    """When its plan is used up all of it is parked, with fewer attempts than changes; the others get theirs."""
    users = [f"u{number}" for number in range(60)]
    with Receiver() as dead, Receiver() as good:
        hooks.write({"dead": dead.settings(), "good": good.settings()}, pending_max=10)
        dead.close()
        ids = hooks.publish(*users, *users)
        with hooks.run() as process:
            process.wait_until(lambda: len(good.calls) == len(ids))
            process.wait_until(lambda: process.metric("parked_total") == len(ids))
            assert process.metric("failed_total") < len(ids)
            assert process.metric("pending") == 0 or process.stop() == 0
            assert process.stop() == 0, process.log
    assert sorted(hooks.parked_ids()) == sorted(ids)
    assert in_order(hooks.parked_ids())
    assert {letter.text("endpoint") for letter in hooks.letters()} == {"dead"}
    assert len(hooks.parked_ids("plan_used_up")) < len(hooks.parked_ids("endpoint_dead"))


def test_webhooks__what_is_refused_does_not_keep_others_out(hooks: Hooks) -> None:
    """Where more is refused than may wait, the oldest of it is parked, and what the endpoint takes goes on."""
    bad, good = [f"bad{number}" for number in range(30)], [f"good{number}" for number in range(30)]
    both = [user for pair in zip(good, bad, strict=True) for user in pair]
    plan = ["0s", "50ms", "1h"]
    with Receiver(lambda call: (400 if call.id.startswith("bad") else 200, {})) as receiver:
        hooks.write({"one": receiver.settings()}, retry_plan=plan, pending_max=10)
        hooks.publish(*both)
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("delivered_total") == 30)
            assert process.stop() == 0, process.log
    assert set(hooks.parked_ids()) == set(hooks.parked_ids("crowded_out"))
    assert len(hooks.parked_ids()) >= 20
    assert all(one.startswith("bad") for one in hooks.parked_ids())


def test_webhooks__all_that_waits_goes_when_an_endpoint_is_back(hooks: Hooks) -> None:
    """After an outage nobody waits for the plan; what still fails has lost no attempt of it."""
    is_down = True

    def reply(call: Call) -> Reply:
        return (500 if is_down or call.id.startswith("bad") else 200), {}

    with Receiver(reply) as receiver:
        hooks.write({"one": receiver.settings()}, retry_plan=["0s", "1h"])
        hooks.publish("bad", *(f"u{number}" for number in range(5)))
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("failed_total") == 6)
            is_down = False
            hooks.publish("new")
            process.wait_until(lambda: process.metric("delivered_total") == 6)
            process.wait_until(lambda: process.metric("failed_total") == 7)
            process.wait_until(lambda: process.metric("pending") == 1)
            assert process.stop() == 0, process.log
            assert "event=endpoint.recovered" in process.log
    assert Counter(receiver.ids)["bad:1"] == 2
    assert hooks.parked_ids() == []


def test_webhooks__says_how_far_it_is_behind(hooks: Hooks) -> None:
    """What waits here and what waits in Kafka is its lag, also while it reads no more."""
    with Receiver(lambda _: (500, {})) as receiver:
        hooks.write({"one": receiver.settings()}, retry_plan=["0s", "1h"], pending_max=10)
        hooks.publish(*(f"u{number}" for number in range(40)))
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("failed_total") >= 10)
            process.wait_until(lambda: process.metric("lag_messages") == 40)
            for number in range(40):
                hooks.publish(f"v{number}")
            # The embedded broker does not tell of the last batch of a partition.
            process.wait_until(lambda: process.metric("lag_messages") >= 80 - hooks.topics.partitions)
            assert process.metric("pending") < 40
            assert process.stop() == 0, process.log


def test_webhooks__a_name_that_leads_inside_is_refused(hooks: Hooks) -> None:
    """A name is looked up, and its addresses are looked at, whoever owns the name; the endpoint hears nothing."""
    with Receiver() as receiver:
        named = receiver.settings(url=f"http://localhost:{receiver.port}/", allow_private=[])
        hooks.write({"one": named})
        hooks.publish("u1")
        with hooks.run() as process:
            process.wait_until(lambda: process.metric("parked_total") == 1)
            assert process.stop() == 0, process.log
        assert receiver.calls == []
    (letter,) = hooks.letters()
    assert "which is not an address of the internet" in str(letter.text("detail"))
