"""Tests of the routes that `tierwise rekey` takes and refuses, before a broker is asked."""

import pytest

from config.settings import Topics
from flows.rekey.topics import Route, check_route
from flows.topics import UnfitTopics

TOPICS = Topics(("clicks", "orders"), "changes", "dead")


@pytest.mark.parametrize(
    ("source", "target", "rule"),
    [
        ("raw", "raw", "--to: must be another topic than --from"),
        ("raw", "changes", "--to: the worker itself writes to changes"),
        ("raw", "dead", "--to: the worker itself writes to dead"),
        ("clicks", "orders", "topics.input: the worker would read both clicks and its copy orders"),
    ],
)
def test_route__that_harms_is_refused(source: str, target: str, rule: str) -> None:
    """A copy onto itself, into what the worker writes, or beside its original is refused by name."""
    with pytest.raises(UnfitTopics) as refused:
        check_route(Route(source, target), TOPICS)
    assert str(refused.value).startswith(rule)


def test_route__to_a_topic_that_is_not_read_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """The copy can be made before the settings name it, but nobody must forget that."""
    check_route(Route("raw", "orders"), TOPICS)
    assert capsys.readouterr().err == ""
    check_route(Route("clicks", "clicks.keyed"), TOPICS)
    assert "event=target.unread" in capsys.readouterr().err
