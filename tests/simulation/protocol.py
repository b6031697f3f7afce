"""This file names the decisions of the commit protocol as switches, and the mutants that get one of them wrong."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple


class Violation(AssertionError):
    """A promise of the commit protocol is broken."""


class Resume(Enum):
    """Which entries of the outbox a new owner publishes."""

    ALL = "all of them"
    OWN_TAIL = "those whose ids their output partition does not hold"
    OWN_TAIL_NUMBER = "those behind the highest entry number in their output partition"
    ANY_TAIL_NUMBER = "those behind the highest entry number in any output partition"


@dataclass(frozen=True)
class Protocol:
    """
    What an owner does; the defaults are the real code, and each other value is a mistake or a plan.

    Rows: what a message does to the row of its user.
    Fence: what a write compares before it goes out.
    Commit: what goes together, and in which order.
    Claim: what an owner takes from the store, also later, and what it forgets of its own.
    Relay: what is published when, and trimmed when.
    """

    checks_row_offset: bool = True
    row_offset_only_rises: bool = True
    row_offset_moves_with_refused: bool = True

    compares_token: bool = True
    compares_number_for_equality: bool = True
    remembers_earlier_tokens: bool = True
    writes_under_a_watch: bool = True
    looks_before_repeating: bool = True
    takes_doubt_for_done: bool = False
    looks_for_other_shards: bool = True

    writes_rows_with_outbox: bool = True
    writes_offsets_last: bool = True
    writes_marks: bool = True

    starts_new_shards_at_the_beginning: bool = True
    seeks_after_reload: bool = True
    asks_before_unparking: bool = True
    reads_cold_rows_back: bool = True
    looks_where_cold_rows_are_from: bool = True
    keeps_who_is_not_stored: bool = True
    moves_rows_between_homes: bool = True
    loads_outbox: bool = True
    forgets_former_deliveries: bool = True

    publishes_after_the_write: bool = True
    trims_after_delivery: bool = True
    delivered_means_all_before_too: bool = True
    stops_at_a_failed_delivery: bool = True
    resume: Resume = Resume.OWN_TAIL

    looks_when_quiet: bool = True
    """Look at the fence at a Tick without a write, so that a quiet rollback is seen."""
    confirms_what_it_loads: bool = True
    """An empty transaction behind the load, under the claim's watch, finds it untouched."""


REAL = Protocol()
TAIL = replace(REAL, resume=Resume.OWN_TAIL)


class Mutant(NamedTuple):
    """A protocol with a mistake, and the theme of the worlds that show it; see seeds.py."""

    theme: str
    protocol: Protocol


def _but(theme: str, **switches: object) -> Mutant:
    return Mutant(theme, replace(REAL, **switches))


MUTANTS: dict[str, Mutant] = {
    "no offset check": _but("restore", checks_row_offset=False),
    "no max": _but("hand-over", row_offset_only_rises=False),
    "row offset moves with applied events alone": _but("hand-over", row_offset_moves_with_refused=False),
    "no token": _but("doubt", compares_token=False),
    ">= instead of equality": _but("restore", compares_number_for_equality=False),
    "no memory of earlier tokens": _but("restore", remembers_earlier_tokens=False),
    "no watch": _but("doubt", writes_under_a_watch=False),
    "doubtful write sent again without a look": _but("doubt", looks_before_repeating=False),
    "doubtful write taken for done": _but("doubt", takes_doubt_for_done=True),
    "no look for users of other shards": _but("growth", looks_for_other_shards=False),
    "rows and outbox in two writes": _but("relay", writes_rows_with_outbox=False),
    "start offset before the rows": _but("hand-over", writes_offsets_last=False),
    "marks not written": _but("hand-over", writes_marks=False),
    "new shards start at the end": _but("growth", starts_new_shards_at_the_beginning=False),
    "no seek after a reload": _but("restore", seeks_after_reload=False),
    "parked shard taken back unasked": _but("hand-over", asks_before_unparking=False),
    "cold rows not read back": _but("hand-over", reads_cold_rows_back=False),
    "cold users leave before they are stored": _but("relay", keeps_who_is_not_stored=False),
    "rows left behind in their former home": _but("hand-over", moves_rows_between_homes=False),
    "outbox not loaded by a claim": _but("relay", loads_outbox=False),
    "deliveries of a former claim count": _but("relay", forgets_former_deliveries=False),
    "published before the write": _but("doubt", publishes_after_the_write=False),
    "trim before delivery": _but("relay", trims_after_delivery=False),
    "delivered mark jumps over gaps": _but("relay", delivered_means_all_before_too=False),
    "relay goes on behind a failed delivery": _but("relay", stops_at_a_failed_delivery=False),
    "relay resumes behind a global maximum": _but("relay", resume=Resume.ANY_TAIL_NUMBER),
    "relay resumes by entry numbers": _but("relay", resume=Resume.OWN_TAIL_NUMBER),
}
