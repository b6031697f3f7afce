"""When the guard of the benchmarks fails. Its rounds are made up here; `make bench-guard` has real ones."""

import json

import pytest

from benchmarks import guard
from benchmarks.guard import CPU, RECORD, SPEED, Round, median_shares, verdict

WAS = {"date": "2026-01-02", "machine": "a machine, 2 cores", "share_of_ceiling": {SPEED: 0.5, CPU: 0.6}}


def a_round(ceiling: float, worker: float, others: float = 0.0) -> Round:
    """Make a round with twice as many events per CPU second as a second."""
    return Round({SPEED: ceiling, CPU: 2 * ceiling}, {SPEED: worker, CPU: 2 * worker}, others)


@pytest.mark.parametrize(("of_the_record", "passes"), [(1.0, True), (1.5, True), (0.81, True), (0.79, False)])
@pytest.mark.parametrize("slower", [SPEED, CPU])
def test_verdict__fails_when_either_share_is_a_fifth_below(
    slower: str, of_the_record: float, passes: bool
) -> None:
    """Each of the two shares alone makes it fail."""
    shares = WAS["share_of_ceiling"]
    assert isinstance(shares, dict)
    assert verdict({**shares, slower: of_the_record * shares[slower]}, WAS).passed is passes


def test_verdict__says_what_it_compares_in_one_line() -> None:
    """Measured, recorded and asked, with where the record comes from; a failure also says how to record anew."""
    passed, failed = verdict({SPEED: 0.5, CPU: 0.6}, WAS), verdict({SPEED: 0.3, CPU: 0.6}, WAS)
    assert passed.line == (
        "passed: worker / its consumer alone: events_per_s 0.500 >= 0.400 (recorded 0.500), "
        "events_per_cpu_s 0.600 >= 0.480 (recorded 0.600); recorded on 2026-01-02, a machine, 2 cores"
    )
    assert failed.line.startswith(
        "FAILED: worker / its consumer alone: events_per_s 0.300 < 0.400 (recorded 0.500), "
    )
    assert "make bench-guard ARGS=" in failed.line


def test_verdict__without_a_quiet_round_judges_the_cpu_alone() -> None:
    """The line says so, and why."""
    busy = verdict({SPEED: None, CPU: 0.6}, WAS)
    assert busy.passed
    assert "events_per_s not judged, others were busy here" in busy.line
    assert not verdict({SPEED: None, CPU: 0.4}, WAS).passed
    recorded_busy = {**WAS, "share_of_ceiling": {SPEED: None, CPU: 0.6}}
    assert "not judged, others were busy when recorded" in verdict({SPEED: 0.1, CPU: 0.6}, recorded_busy).line


def test_shares__are_the_median_of_the_rounds() -> None:
    """A worker is compared with the ceiling of its own round; one odd round changes nothing."""
    rounds = [a_round(125, 25), a_round(40, 50), a_round(90, 45)]
    assert median_shares(rounds) == {SPEED: 0.5, CPU: 0.5}


def test_shares__take_speed_from_quiet_rounds_only() -> None:
    """Of what others took of the machine, the worker lost more than the ceiling."""
    quiet, busy = a_round(100, 50, others=0.09), a_round(200, 50, others=0.11)
    assert median_shares([quiet, busy, busy]) == {SPEED: 0.5, CPU: 0.25}
    assert median_shares([busy]) == {SPEED: None, CPU: 0.25}


def test_record__is_what_the_verdict_reads() -> None:
    """The saved record passes its own verdict."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert verdict(record["share_of_ceiling"], record).passed


@pytest.mark.parametrize(("share", "passes"), [(0.5, True), (0.3, False)])
def test_guard__measures_again_before_it_fails(
    monkeypatch: pytest.MonkeyPatch, share: float, passes: bool
) -> None:
    """A short share is looked at four times; one that is not short ends it at once."""
    shares = iter([0.1, share, share, share])
    monkeypatch.setattr(guard, "machine", lambda: json.loads(RECORD.read_text(encoding="utf-8"))["machine"])
    monkeypatch.setattr(guard, "measured", lambda *_: None)
    monkeypatch.setattr(guard, "median_shares", lambda _: {SPEED: next(shares)})
    assert guard.is_as_good(None, 1, 1) is passes
    assert len(list(shares)) == (2 if passes else 0)


def test_guard__does_not_judge_another_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The share depends on the cores: without a record of this machine the guard says how to make one."""
    monkeypatch.setattr(guard, "machine", lambda: "another one, 64 cores")
    assert guard.is_as_good(None, 1, 1)
    assert "not judged" in capsys.readouterr().out
