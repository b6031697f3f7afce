"""Tests of what `tierwise explain` prints for one user."""

from flows.explain import document, lines
from scoring.explain import LadderView, PartView, UserView
from scoring.policy import Feature, Ladder, Part, Policy, Rung, Score

LOWEST = float("-inf")
POLICY = Policy(
    name="moods",
    version=3,
    currency="EUR",
    minor_digits=2,
    timezone="UTC",
    events=(),
    features=(Feature("silence", "since"), Feature("spend", "total", of="amount")),
    scores=(
        Score("presence", "sum", (Part("silence", ((0, 60), (9, 0))), Part("spend", ((0, 0), (9, 40))))),
    ),
    ladders=(
        Ladder(
            "mood", "presence", (Rung("asleep", LOWEST, LOWEST), Rung("awake", 50, 40), Rung("wild", 90, 80))
        ),
    ),
)
VIEW = UserView(
    user_id="u1",
    as_of_ms=1_788_220_800_000,
    seq=4,
    first_seen_ms=1_788_220_000_000,
    orders=2,
    spend_minor=12_345,
    ladders=(
        LadderView(
            ladder="mood",
            tag=False,
            rung="awake",
            rank=1,
            since_ms=1_788_220_700_000,
            score=58.5,
            parts=(PartView("silence", 90_061.0, 58.5, 39.9), PartView("spend", None, 0.0, 0.0)),
            next_rung="wild",
            to_next=31.5,
            falls_at_ms=1_788_221_000_000,
            falls_to="asleep",
        ),
    ),
)


def test_lines__tell_where_why_and_what_comes() -> None:
    """The text names rung, score, each part, what is missing, and when and why the user falls."""
    text = "\n".join(lines(VIEW, POLICY, 7))
    assert "u1  as of 2026-09-01T00:00:00.000Z" in text
    assert "policy moods@3, shard 07" in text
    assert "2 orders, 123.45 EUR, 4 changes so far" in text
    assert "mood: awake since 2026-08-31T23:58:20.000Z, score 58.5" in text
    assert "31.5 points are missing to wild" in text
    assert (
        "falls to asleep at 2026-09-01T00:03:20.000Z if nothing happens, being below 40 points then" in text
    )
    assert "silence 58.5 -> 39.9 points" in text
    assert [line.split() for line in text.splitlines() if line.startswith("  silence")] == [
        ["silence", "1", "day,", "1:01:01", "gives", "58.5", "points"]
    ]
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("  spend")] == [
        ["spend", "undefined"]
    ]


def test_document__leaves_out_what_does_not_apply() -> None:
    """The JSON form has no null: an undefined value is absent."""
    found = document(VIEW, POLICY, 7)
    assert found["spend"] == "123.45"
    assert found["ladders"]["mood"]["next"] == {"rung": "wild", "points": 31.5}
    assert found["ladders"]["mood"]["falls_to"] == "asleep"
    assert found["ladders"]["mood"]["parts"][1] == {"feature": "spend", "points": 0.0, "points_at_fall": 0.0}
