"""That a message of the profile topic is what the contract shows, and what its schema admits."""

import json
from typing import Any

import pytest

from sinks.profile_reader import Profile, profile_from
from sinks.profile_topic import message_of
from tests.unit.docs_examples import ROOT, example
from tests.unit.message_schemas import problems

LOADED: list[list[str]] = json.loads(
    (ROOT / "docs" / "conformance" / "reader.json").read_text(encoding="utf-8")
)["load"]
USERS = {key.removeprefix("tierwise:user:"): fields for word, key, *fields in LOADED if word == "HSET"}


def profile_of(user_id: str) -> Profile:
    """Read a user of the conformance file."""
    fields = [field.encode() for field in USERS[user_id]]
    found = profile_from(user_id, dict(zip(fields[::2], fields[1::2], strict=True)))
    assert found is not None
    return found


@pytest.mark.parametrize("user_id", USERS)
def test_message__is_admitted_by_its_schema(user_id: str) -> None:
    """Users without orders, on top rungs and with odd names: value and headers are valid."""
    value, headers = message_of(profile_of(user_id))
    assert problems("profile", json.loads(value)) == []
    assert problems("profile#/$defs/headers", {name: str(text, "utf-8") for name, text in headers}) == []


def test_message__is_what_the_contract_shows() -> None:
    """The page's user is written as the page says."""
    value, _ = message_of(profile_of("u42"))
    assert json.loads(value) == json.loads(example("docs/contract.md", "profile-message"))


@pytest.mark.parametrize(
    "wrong", [{"seq": -1}, {"spend": 1.5}, {"tags": ["Not a tag"]}, {"ladders": {"tier": {}}}, {"more": 1}]
)
def test_schema__refuses_what_is_never_written(wrong: dict[str, Any]) -> None:
    """Values outside their range, half a ladder, and keys of nobody are refused."""
    document = json.loads(example("docs/contract.md", "profile-message"))
    assert problems("profile", document) == []
    assert problems("profile", document | wrong) != []
