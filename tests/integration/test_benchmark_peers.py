"""The benchmark of peers on a small stream: that both sides do the same work, and that it is noticed when not."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import pytest

from benchmarks.peers.agreement import SCORE_TOLERANCE, Disagreement, Standing, compare
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.match import Match
from benchmarks.peers.results import summary
from benchmarks.peers.run import rounds_of
from benchmarks.peers.servers import Servers
from benchmarks.peers.table import CEILING, OURS, times_ours

EVENTS, USERS = 20_000, 1_000


@pytest.fixture(scope="module")
def match() -> Iterator[Match]:
    """Prepare servers for one round."""
    with Servers("embedded") as servers:
        yield Match(servers, EVENTS, USERS)


@pytest.mark.parametrize("name", ["plain loop, simple", "plain loop, tuned"])
def test_peers__plain_loop_stores_what_a_worker_stores(match: Match, name: str) -> None:
    """All users of the sample have the tier, the score and the spend that our worker gives them."""
    (peer,) = (replace(peer, share=1) for peer in PEERS if peer.name == name)
    assert match.theirs(peer)["scores_apart"] <= SCORE_TOLERANCE
    assert {standing.tier for standing in match.our_standings()} >= {"bronze", "silver", "gold"}


def test_peers__cpu_is_compared_with_ours_on_the_same_events(match: Match) -> None:
    """A peer with a share of the events is put beside a worker with that share, of the same round."""
    (slow,) = (replace(peer, share=0.5) for peer in PEERS if peer.name == "plain loop, simple")
    found, not_run = rounds_of(match, [slow], 2)
    assert not not_run
    results = summary(found[slow.name], found[CEILING])
    first, last = results["our_cpu_s_per_million"]
    same = match.ours(0.5)
    assert last == pytest.approx(same["cpu_s"] / same["messages"] * 1e6, abs=1e-3)
    assert times_ours(results, [1.0, 1.0]) == pytest.approx(
        median(theirs / ours for theirs, ours in zip(results["cpu_s_per_million"], (first, last)))
    )


def test_peers__who_does_not_run_is_named(match: Match) -> None:
    """A peer that cannot be installed, or ends without figures, stands in the result with the reason."""
    lost = Peer("lost", "no_such_module", "tuned", 1)
    unpacked = Peer("unpacked", "plain", "tuned", 1, "no-such-packages")
    found, not_run = rounds_of(match, [lost, unpacked], 1)
    assert list(found) == [CEILING, OURS]
    assert "No module named benchmarks.peers.no_such_module" in not_run["lost"]
    assert "no-such-packages" in not_run["unpacked"]


@pytest.mark.parametrize(
    "theirs",
    [Standing("gold", 20.0, 1.0), Standing("silver", 20.001, 1.0), Standing("silver", 20.0, 2.0)],
)
def test_peers__other_work_is_refused(theirs: Standing) -> None:
    """Whoever has another tier, score or spend is not compared; who has none is not either."""
    ours = Standing("silver", 20.0, 1.0)
    assert compare([ours], [Standing("silver", 20.000001, 1.0)], ["u1"]) <= SCORE_TOLERANCE
    for other in (theirs, Standing(None, None, None)):
        with pytest.raises(Disagreement, match="u1"):
            compare([ours], [other], ["u1"])
