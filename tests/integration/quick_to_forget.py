"""A worker that lets silent users leave memory at its next tick, however few: `python -m ... run --settings FILE`."""

import sys

import flows.cli
import flows.score
from scoring.shard import Shard

if __name__ == "__main__":
    flows.score.LOOK_MS = 0
    Shard.let_go.__defaults__ = (0,)
    sys.exit(flows.cli.main(sys.argv[1:]))
