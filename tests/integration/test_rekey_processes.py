"""Tests of `tierwise rekey` as processes: stopped, started again, shared, killed."""

from pathlib import Path

from flows.dev.embedded import KafkaServer, create_topics
from tests.integration.outcome import read_all
from tests.integration.rekey_process import Feed, Hop, copy_under_kills


def test_rekey__goes_on_where_it_was_stopped(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """SIGTERM commits what is in hand, exit code 0; the next process copies the rest and nothing again."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    with hop.rekey("--partitions", "4") as process:
        process.wait_until(lambda: process.owned() == 3)
        for _ in range(5):
            hop.send(1_000, partitions=3)
        process.wait_until(lambda: bool(read_all(kafka, hop.target)))
        assert process.stop() == 0, process.log
        first = process.counts()["read"]
    assert first > 0
    hop.send(500, partitions=3)
    assert first + hop.run_to_end()["read"] == hop.sent
    hop.assert_each_once()
    assert hop.run_to_end()["read"] == 0


def test_rekey__processes_share_the_partitions(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """Under load a second process takes partitions over, and gives them back when it is stopped: nothing twice."""
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    with hop.rekey("--partitions", "4") as first, Feed(hop, partitions=3):
        first.wait_until(lambda: first.owned() == 3)
        for _ in range(2):
            with hop.rekey() as second:
                second.wait_until(lambda: first.owned() + second.owned() == 3 and second.owned() > 0)
                assert second.stop() == 0, second.log
            first.wait_until(lambda: first.owned() == 3)
        assert first.stop() == 0, first.log
    hop.run_to_end()
    hop.assert_each_once()


def test_rekey__killed_anywhere_loses_nothing(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    """
    After kill -9 at random moments each message is in the target.

    The embedded broker keeps transactions that were never ended for ever, so this reads uncommitted ones, and
    cannot tell more. That each counts once is shown on Apache Kafka.
    """
    hop = Hop(kafka, prefix, tmp_path)
    create_topics(kafka.bootstrap, [hop.source], 3)
    create_topics(kafka.bootstrap, [hop.target], 4)
    assert copy_under_kills(hop, kills=4, partitions=3, seed=7) < hop.sent
    hop.copies("read_uncommitted").assert_each_at_least_once(hop.sent)
