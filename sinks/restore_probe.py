"""This file finds out whether the store takes a profile in one piece, see hash_dump; no kernel is behind its import."""

from sinks.shard_link import ShardLink

PROBE = {"tier": "gold", "since_ms": "1790000000000"}
PROBE_DUMP = bytes.fromhex(
    "10800000002727000000040084746965720584676f6c64058873696e63655f6d7309f4006c50c4a001000009"
    "ff0a001a16d862a0c40db4"
)
PROBE_MS = 10_000
"""The store forgets it by itself, should we not come to that."""


def restore_refusal(link: ShardLink, key: bytes) -> str | None:
    """
    Tell why the store takes no profile in one piece, None where it does; uses this key for a moment.

    An older server may not know the format, another one not the command, and a user may not be allowed to use it.
    """
    replies = link.ask_all(("RESTORE", key, PROBE_MS, PROBE_DUMP, "REPLACE"), ("HGETALL", key), ("DEL", key))
    if refusal := next((reply for reply in replies if isinstance(reply, Exception)), None):
        return str(refusal)
    flat = [word.decode() for word in replies[1]]
    return None if dict(zip(flat[::2], flat[1::2], strict=True)) == PROBE else f"it made {flat} of {PROBE}"
