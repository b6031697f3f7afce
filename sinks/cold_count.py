"""This file writes how many cold users a shard has, and on which rungs, as the store keeps it."""

import json

from scoring.commit_plan import ColdCount


def cold_text(cold: ColdCount) -> str:
    """Write how many cold users there are."""
    return json.dumps({"layout": f"{cold.layout:x}", "rungs": cold.rungs}, separators=(",", ":"))


def cold_from(text: bytes) -> ColdCount:
    """Read how many cold users there are."""
    found = json.loads(text)
    return ColdCount(int(found["layout"], 16), found["rungs"])
