"""Play the world of one seed and tell what happens: python -m tests.simulation SEED."""

import argparse

from tests.simulation.protocol import MUTANTS, REAL, TAIL, Violation
from tests.simulation.seeds import drawn, played, shortest, violation


def main() -> int:
    """Tell a story; answer 1 when it breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--mutant", choices=[*MUTANTS, "tail"], help="a protocol other than the real one")
    arguments = parser.parse_args()
    protocol = REAL
    if arguments.mutant:
        protocol = TAIL if arguments.mutant == "tail" else MUTANTS[arguments.mutant].protocol
    setup, actions = drawn(arguments.seed)
    if violation(setup, actions, protocol):
        actions = shortest(setup, actions, protocol)
        print(f"seed={arguments.seed}, made short: {len(actions)} actions")
    print(setup)
    try:
        played(setup, actions, protocol, print)
    except Violation as broken:
        print(f"broken: {broken}")
        return 1
    print("all promises kept")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
