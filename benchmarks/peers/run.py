"""This file asks what others make of the same stream: same events, same broker, same run, round by round.

python -m benchmarks.peers.run [--events N] [--rounds N] [--users N] [--broker apache] [--peers NAME ...] [--save FILE]

Each round runs the ceiling (consume and value), our worker on benchmarks/job.yaml, and each peer. A slow peer reads
topics with a share of the events, see catalogue.py. What each has stored in the end is compared with what our
worker stored from the same topics in that round, and so is its CPU. A peer's clock starts when a quarter of the
events is done, ours at the first.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.generator import LOCALITIES
from benchmarks.peers.agreement import Disagreement
from benchmarks.peers.catalogue import PEERS, Peer, PeerMissing, versions
from benchmarks.peers.match import Figures, Match
from benchmarks.peers.results import report, summary
from benchmarks.peers.servers import BROKERS, Servers
from benchmarks.peers.table import CEILING, OURS
from benchmarks.record import save_record
from flows.dev.child import ChildFailed

LIBRARIES = ("bytewax", "confluent-kafka", "redis", "hiredis", "msgspec", "numba")


def rounds_of(
    match: Match, peers: Sequence[Peer], rounds: int
) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Run all in turns; answer the figures of each, and why some have none."""
    found: dict[str, list[Figures]] = {CEILING: [], OURS: []}
    not_run: dict[str, str] = {}
    for _ in range(rounds):
        match.new_round()
        found[CEILING].append(match.ceiling())
        found[OURS].append(match.ours())
        for peer in peers:
            if peer.name in not_run:
                continue
            try:
                figures = match.theirs(peer)
            except (PeerMissing, ChildFailed, Disagreement) as error:
                not_run[peer.name] = str(error)
                print(f"{peer.name}: not run: {error}")
                continue
            found.setdefault(peer.name, []).append(figures)
            print(f"{peer.name}: {figures['messages'] / figures['wall_s']:,.0f} events/s")
    return found, not_run


def main() -> None:
    """Measure and print; with --save write the result to a file."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=2_000_000)
    options.add_argument("--users", type=int, default=100_000)
    options.add_argument("--locality", choices=LOCALITIES, default="uniform", help="how users are drawn")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--broker", choices=BROKERS, default="embedded", help="apache needs Java and Maven")
    options.add_argument("--peers", nargs="*", choices=[peer.name for peer in PEERS], metavar="NAME")
    options.add_argument("--save", type=Path)
    chosen = options.parse_args()
    peers = [peer for peer in PEERS if chosen.peers is None or peer.name in chosen.peers]
    with Servers(chosen.broker) as servers:
        found, not_run = rounds_of(
            Match(servers, chosen.events, chosen.users, chosen.locality), peers, chosen.rounds
        )
    results = {name: summary(turns, found[CEILING]) for name, turns in found.items()}
    report(results)
    save_record(
        chosen.save,
        {
            "settings": {
                name: getattr(chosen, name) for name in ("events", "users", "locality", "rounds", "broker")
            },
            "versions": {**{name: version(name) for name in LIBRARIES}, **versions()},
            "results": results,
            "not_run": not_run,
        },
    )


if __name__ == "__main__":
    main()
