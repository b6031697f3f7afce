"""Tests of how a campaign's rows read."""

from tests.faults.campaign import Result
from tests.faults.catalogue import FAULTS
from tests.faults.report import row


def test_row__says_when_a_fault_was_not_carried_to_its_end() -> None:
    """A row whose worlds were not compared with the reference does not look clean."""
    assert "| 6 | 0 |" in row(FAULTS[0], Result(hits=6), Result())
    assert "| 6, then IT FAILED | 0 |" in row(FAULTS[0], Result(hits=6, failure="not fenced"), Result())
