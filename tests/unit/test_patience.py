"""Tests of how a broker is asked that may be away."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from flows.patience import BrokerUnavailable, patiently


class Broker:
    """Answer after so many failures of one kind."""

    def __init__(self, failures: int, code: int) -> None:
        self.failures, self.code = failures, code
        self.beats = 0

    def ask(self) -> str:
        """Fail, or answer."""
        self.failures -= 1
        if self.failures >= 0:
            raise KafkaException(KafkaError(self.code))
        return "answer"

    def beat(self) -> None:
        """Count the signs of life."""
        self.beats += 1


def test_patiently__asks_until_somebody_answers() -> None:
    """A broker that is away is asked again, and the worker shows that it lives meanwhile."""
    broker = Broker(1, KafkaError._TRANSPORT)
    assert patiently(broker.ask, 60.0, broker.beat) == "answer"
    assert broker.beats == 2


def test_patiently__gives_up_in_the_end() -> None:
    """When nobody answers for all of the time, that is said."""
    broker = Broker(9, KafkaError._ALL_BROKERS_DOWN)
    with pytest.raises(BrokerUnavailable, match="no broker answered for 0 s"):
        patiently(broker.ask, 0.0, broker.beat)


def test_patiently__does_not_wait_for_a_topic_that_is_not_there() -> None:
    """An answer that asking again will not change is passed on at once."""
    broker = Broker(1, KafkaError.UNKNOWN_TOPIC_OR_PART)
    with pytest.raises(KafkaException):
        patiently(broker.ask, 60.0, broker.beat)
