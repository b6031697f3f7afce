"""A worker that soon asks for a shard anew that was taken from it: `python -m ... run --settings FILE`."""

import sys

import flows.cli
import flows.source

if __name__ == "__main__":
    flows.source.REJOIN_MS = 1_000
    sys.exit(flows.cli.main(sys.argv[1:]))
