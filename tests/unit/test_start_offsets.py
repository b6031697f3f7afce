"""Tests of what is held against each other before a shard is read."""

import pytest

from flows.start_offsets import (
    EARLIEST,
    REFUSE,
    OffsetLost,
    PartitionsChanged,
    TopicLost,
    place,
    refuse_unlike,
)
from flows.topic_look import TopicFacts
from sinks.claim import Claim

FACTS = {"clickstream": TopicFacts(4, "id-c"), "orders": TopicFacts(4, "id-o")}
FIRST = {("clickstream", 2): 100, ("orders", 2): 0}


def claim(**stored: object) -> Claim:
    """Claim shard 2 with this in the store."""
    return Claim(2, "token", 7, **stored)  # type: ignore[arg-type]


def test_place__starts_a_new_shard_at_the_first_message() -> None:
    """Where nothing is stored, reading starts with what Kafka still has, and the topics are noted."""
    one = claim()
    place(one, FACTS, FIRST, REFUSE)
    assert one.offsets == {"clickstream": 100, "orders": 0}
    assert (one.partitions, one.topic_ids) == (4, {"clickstream": "id-c", "orders": "id-o"})


def test_place__goes_on_where_nothing_is_missing() -> None:
    """Stored offsets that Kafka has, the very first too, stay as they are."""
    one = claim(offsets={"clickstream": 100, "orders": 5}, partitions=4, topic_ids={"orders": "id-o"})
    place(one, FACTS, FIRST, REFUSE)
    assert one.offsets == {"clickstream": 100, "orders": 5}


def test_place__refuses_a_gap_unless_told_otherwise() -> None:
    """Offsets deleted unread are named with the way out; told so, reading goes on with what is left."""
    with pytest.raises(
        OffsetLost, match=r"clickstream partition 2: .* 60, .* 100: 40 .* --on-offset-gap=earliest"
    ):
        place(claim(offsets={"clickstream": 60}), FACTS, FIRST, REFUSE)
    one = claim(offsets={"clickstream": 60})
    place(one, FACTS, FIRST, EARLIEST)
    assert one.offsets["clickstream"] == 100


@pytest.mark.parametrize("on_gap", [REFUSE, EARLIEST])
def test_place__refuses_a_topic_that_was_made_anew(on_gap: str) -> None:
    """A topic of the same name with another id is refused, whatever is to be done about gaps."""
    with pytest.raises(
        TopicLost, match=r"orders: was deleted and made anew .*id-o.* of id-old.* another prefix"
    ):
        place(claim(offsets={"orders": 3}, topic_ids={"orders": "id-old"}), FACTS, FIRST, on_gap)


def test_place__takes_any_topic_where_a_broker_has_no_ids() -> None:
    """Without an id on either side there is nothing to compare."""
    facts = {"clickstream": TopicFacts(4, None), "orders": TopicFacts(4, "id-o")}
    one = claim(topic_ids={"clickstream": "id-c"})
    place(one, facts, FIRST, REFUSE)
    assert one.topic_ids == {"orders": "id-o"}


def test_place__refuses_another_number_of_partitions() -> None:
    """A topic that has grown since its users were scored is refused by name, with both numbers and `rekey`."""
    with pytest.raises(PartitionsChanged, match=r"clickstream: has 4 partitions, had 3 .* rekey"):
        place(claim(partitions=3), FACTS, FIRST, REFUSE)


def test_refuse_unlike__names_what_is_gone_and_what_differs() -> None:
    """A topic that is gone, and topics of unequal numbers of partitions, cannot make a shard."""
    refuse_unlike(FACTS, FACTS)
    with pytest.raises(TopicLost, match=r"^reviews: Kafka has no such topic any more"):
        refuse_unlike(FACTS, [*FACTS, "reviews"])
    with pytest.raises(PartitionsChanged, match=r"clickstream has 4, orders has 6; .*rekey"):
        refuse_unlike({**FACTS, "orders": TopicFacts(6, "id-o")}, FACTS)
