"""Tests of what the demo shows: changes in words, counts that add up, a view that always draws."""

import io

import pytest
from rich.console import Console

from flows.dev.change_feed import Change, Part
from flows.dev.demo_state import DemoState, sentence
from flows.dev.demo_view import draw, plain_line, plain_summary
from flows.dev.worker_metrics import CONSUMED, summed
from scoring.policy import Ladder, Rung

INFINITY = float("inf")
TIER = Ladder(
    "tier",
    "value",
    (Rung("bronze", -INFINITY, -INFINITY), Rung("silver", 20.0, 16.0), Rung("gold", 50.0, 40.0)),
)
DEAL_SEEKER = Ladder(
    "deal_seeker", "deals", (Rung("off", -INFINITY, -INFINITY), Rung("on", 50.0, 40.0)), tag=True
)


def change(**fields: object) -> Change:
    """Make a rise of u42 from silver to gold, with some fields replaced."""
    usual: dict[str, object] = {
        "user_id": "u42",
        "seq": 1,
        "ladder": "tier",
        "from_rung": "silver",
        "to_rung": "gold",
        "from_rank": 1,
        "to_rank": 2,
        "direction": "up",
        "cause": "event",
        "cause_event_id": "ord-991",
        "score": 71.24,
        "effective_at": "2026-09-01T08:00:00.000Z",
        "why": [Part("activity", 29.14, 130.2), Part("spend_90d", 42.1, 2140.0), Part("visits", 0.0)],
    }
    return Change(**{**usual, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (change(), "u42 rose tier silver -> gold because of order ord-991: spend_90d 42.1 + activity 29.1"),
        (
            change(direction="down", from_rung="gold", to_rung="silver", cause="time", cause_event_id=None),
            "u42 fell tier gold -> silver because time passed (on 2026-09-01): "
            "spend_90d 42.1 + activity 29.1",
        ),
        (
            change(score=42.1, ladder="deal_seeker", from_rung="off", to_rung="on"),
            "u42 got the tag deal_seeker because of order ord-991: spend_90d 42.1, activity 29.1",
        ),
        (
            change(
                from_rung="on",
                to_rung="off",
                direction="down",
                cause="refund",
                cause_event_id="r1",
                why=[],
                score=0,
            ),
            "u42 lost the tag tier because of refund r1: score 0",
        ),
        (
            change(to_rung=None, to_rank=None, cause="erase", why=[], score=0),
            "u42 left tier because of erase: score 0",
        ),
    ],
)
def test_sentence__names_move_cause_and_points(told: Change, expected: str) -> None:
    """A change is told with what moved, why, and the points behind it, the largest first."""
    assert sentence(told) == expected


def test_state__rate_is_over_the_last_seconds() -> None:
    """The rate forgets how it began, and the lag is what was sent and not yet scored."""
    state = DemoState((TIER,))
    for second in range(11):
        state.saw_progress(float(second), sent=20_000, scored=0 if second < 5 else (second - 5) * 1000)
    assert (state.rate, state.lag) == (1000.0, 15_000)


def test_state__names_the_biggest_movers() -> None:
    """Risers and fallers are ranked by rungs, then by score, each user once."""
    state = DemoState((TIER, DEAL_SEEKER))
    state.saw_changes(
        [
            change(user_id="a", from_rung="bronze", from_rank=0, to_rung="silver", to_rank=1, score=21),
            change(user_id="b", from_rung="bronze", from_rank=0, score=60),
            change(user_id="a", score=55, seq=2),
            change(
                user_id="c",
                from_rung="gold",
                from_rank=2,
                to_rung="bronze",
                to_rank=0,
                score=3,
                direction="down",
            ),
            change(user_id="d", ladder="deal_seeker", from_rung="off", from_rank=0, to_rung="on", to_rank=1),
        ]
    )
    risers, fallers = state.movers(5)
    assert risers == ["b  bronze -> gold  60.0", "a  bronze -> gold  55.0"]
    assert fallers == ["c  gold -> bronze  3.0"]
    assert state.first_tier_change is not None
    assert state.first_tier_change[1].user_id == "a"


def test_view__draws_before_anything_happened() -> None:
    """The first picture, with no worker, no user and no change, can be drawn and says what it waits for."""
    state = DemoState((TIER, DEAL_SEEKER), expected=100)
    assert "the worker is starting" in _drawn(state)
    assert "the worker is starting" in plain_line(state)


@pytest.mark.parametrize("width", [80, 160])
def test_view__shows_rungs_changes_and_movers(width: int) -> None:
    """Counts of every rung, the latest change and the movers are on the screen and in the plain lines."""
    state = DemoState((TIER, DEAL_SEEKER), expected=100, worker_is_up=True)
    state.rungs = {"tier": [1200, 34, 5], "deal_seeker": [0, 77]}
    state.saw_changes([change()])
    state.saw_progress(1.0, sent=60, scored=40)
    screen = _drawn(state, width)
    for shown in (
        "1,200",
        "gold",
        "deal_seeker",
        "77",
        "lag 20",
        "u42 rose tier silver -> gold",
        "40 of 100",
    ):
        assert shown in screen
    assert "bronze 1,200 silver 34 gold 5" in plain_line(state)
    assert "deal_seeker      on 77" in plain_summary(state)


def test_view__draws_names_that_look_like_markup() -> None:
    """A user id with brackets is shown as it is."""
    state = DemoState((TIER,), worker_is_up=True)
    state.saw_changes([change(user_id="[/red]u[bold]")])
    assert "[/red]u[bold]" in _drawn(state)


def test_summed__adds_up_the_samples_of_a_name() -> None:
    """Samples of one metric are summed over labels, whatever the labels hold."""
    text = (
        "# HELP x y\n# TYPE x counter\n"
        f'{CONSUMED}{{topic="a b",partition="1"}} 3.0\n{CONSUMED}{{topic="}}"}} 4.0 1700000000\nplain 1e3\n'
    )
    assert summed(text) == {CONSUMED: 7.0, "plain": 1000.0}


def _drawn(state: DemoState, width: int = 160) -> str:
    console = Console(width=width, height=60, record=True, file=io.StringIO())
    console.print(draw(state, width))
    return console.export_text()
