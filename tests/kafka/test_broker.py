"""Tests of the broker that the others stand on: what it holds survives its end, whichever way it ended."""

from confluent_kafka import Producer

from tests.conftest import Topics
from tests.integration.outcome import read_all
from tests.kafka.broker import ApacheKafka


def test_broker__keeps_its_data_over_stop_and_kill(kafka: ApacheKafka, topics: Topics) -> None:
    """What a producer was told is stored can be read after SIGTERM and after kill -9, at the same address."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all", "log_level": 0})
    for number, end in enumerate((kafka.stop, kafka.kill)):
        producer.produce(topics.clickstream, value=b"%d" % number)
        assert producer.flush(20) == 0
        end()
        assert not kafka.is_running
        kafka.start()
    assert sorted(message.value() for message in read_all(kafka, topics.clickstream)) == [b"0", b"1"]
