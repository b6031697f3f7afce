"""This file tells which features count an event: its type is listed and every `where` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoring.policy import Policy, Where

TEXT_FIELDS = ("order_id", "item_id", "category", "channel", "scene", "coupon_id")
MATCH_BITS = 63  # The mask is a signed 64-bit number.


@dataclass(frozen=True, slots=True)
class Matcher:
    """
    Hold the features that count events, by type.

    Attributes:
        always: for each event type, the mask of the features that count it whatever its fields.
        guarded: for each event type, (bit, wheres) of the features that look at its fields.
    """

    always: tuple[int, ...]
    guarded: tuple[tuple[tuple[int, tuple[Where, ...]], ...], ...]

    @classmethod
    def of(cls, policy: Policy) -> Matcher:
        """Collect the features of a policy."""
        always, guarded = [], []
        for event in policy.events:
            mask, wheres = 0, []
            for number, feature in enumerate(policy.features):
                if not feature.counts_events or event.name not in feature.events:
                    continue
                assert number < MATCH_BITS, (number, feature.name)
                if feature.where:
                    wheres.append((1 << number, feature.where))
                else:
                    mask |= 1 << number
            always.append(mask)
            guarded.append(tuple(wheres))
        return cls(tuple(always), tuple(guarded))

    def mask(self, type_index: int, texts: Mapping[str, str], numbers: Mapping[str, float]) -> int:
        """Give the mask of one event of a known type; absent fields are absent keys."""
        mask = self.always[type_index]
        for bit, wheres in self.guarded[type_index]:
            if all(holds(where, texts, numbers) for where in wheres):
                mask |= bit
        return mask


def holds(where: Where, texts: Mapping[str, str], numbers: Mapping[str, float]) -> bool:
    """
    Tell whether one restriction holds; an absent field is in and between nothing.

    `numbers` are in the units of Where: major units of money, milliseconds of a time, seconds of an age.
    """
    if where.op == "present":
        return where.field in texts or where.field in numbers
    if where.op == "absent":
        return where.field not in texts and where.field not in numbers
    if where.op == "in":
        return texts.get(where.field, numbers.get(where.field)) in where.values
    number = numbers.get(where.field)
    if number is None:
        return False
    return (where.minimum is None or number >= where.minimum) and (
        where.maximum is None or number <= where.maximum
    )
