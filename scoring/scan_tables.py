"""This file compiles a policy into the flat tables that the scan reads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from scoring import fields, scan
from scoring.events import Bytes, Int64s
from scoring.match import Matcher
from scoring.policy import Policy, Where
from scoring.scan import ScanTables

FIELD_NUMBER = {key: number for number, key in enumerate(fields.KEYS)} | {"item_age": fields.ITEM_AGE}
OP_NUMBER = {"present": scan.PRESENT, "absent": scan.ABSENT, "in": scan.IN, "between": scan.BETWEEN}
ALWAYS_COMPARED = (fields.EVENT_ID, fields.USER_ID, fields.TYPE, fields.ORDER_ID)


def scan_tables(policy: Policy, matcher: Matcher) -> ScanTables:
    """Lay out the types of a policy and the `where` of the features that count them."""
    guards = [guard for guards in matcher.guarded for guard in guards]
    clauses = [where for _, wheres in guards for where in wheres]
    values = [value for where in clauses for value in where.values]
    type_text, type_start = _texts(event.name for event in policy.events)
    value_text, value_start = _texts(value if isinstance(value, str) else "" for value in values)
    return ScanTables(
        type_text=type_text,
        type_start=type_start,
        type_low=np.array([_word(event.name, 0) for event in policy.events], np.uint64),
        type_high=np.array([_word(event.name, 8) for event in policy.events], np.uint64),
        type_needs_order=np.array([event.order or event.refund for event in policy.events], np.int8),
        type_mask=np.array(matcher.always, np.int64),
        guard_start=_starts(map(len, matcher.guarded)),
        guard_bit=np.array([bit for bit, _ in guards], np.int64),
        clause_start=_starts(len(wheres) for _, wheres in guards),
        clause_field=np.array([FIELD_NUMBER[where.field] for where in clauses], np.int8),
        clause_op=np.array([OP_NUMBER[where.op] for where in clauses], np.int8),
        clause_minimum=np.array([-np.inf if w.minimum is None else w.minimum for w in clauses], np.float64),
        clause_maximum=np.array([np.inf if w.maximum is None else w.maximum for w in clauses], np.float64),
        clause_value_start=_starts(len(where.values) for where in clauses),
        value_text=value_text,
        value_start=value_start,
        value_number=np.array([np.nan if isinstance(v, str) else v for v in values], np.float64),
    )


def compared_fields(policy: Policy) -> int:
    """Give the mask of the fields whose text matters, not their presence alone."""
    wheres: list[Where] = [where for feature in policy.features for where in feature.where]
    numbers = {FIELD_NUMBER[where.field] for where in wheres if where.op == "in"}
    return sum(1 << number for number in numbers.union(ALWAYS_COMPARED))


def _starts(sizes: Iterable[int]) -> Int64s:
    return np.array([0, *accumulate(sizes)], np.int64)


def _word(name: str, first: int) -> int:
    """Answer eight bytes of a name as a word, zero behind its end."""
    return int.from_bytes(name.encode()[first : first + 8], "little")


def _texts(texts: Iterable[str]) -> tuple[Bytes, Int64s]:
    encoded = [text.encode() for text in texts]
    return np.array(list(b"".join(encoded)), np.uint8), _starts(map(len, encoded))
