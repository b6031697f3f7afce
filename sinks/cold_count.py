"""This file writes how many cold users a shard has, and on which rungs, as the store keeps it."""

import msgspec

from scoring.commit_plan import ColdCount

_encoder = msgspec.json.Encoder()


def cold_text(cold: ColdCount) -> bytes:
    """Write how many cold users there are."""
    return _encoder.encode({"layout": f"{cold.layout:x}", "rungs": cold.rungs})


def cold_from(text: bytes) -> ColdCount:
    """Read how many cold users there are."""
    found = msgspec.json.decode(text)
    return ColdCount(int(found["layout"], 16), found["rungs"])
