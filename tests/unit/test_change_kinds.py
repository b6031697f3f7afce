"""This file tests that changes are counted alike whether they are columns or objects."""

from collections import Counter

from scoring.change_columns import ChangeColumns
from scoring.change_kinds import ChangeKind, kinds_of
from tests.unit.docs_examples import scored
from tests.unit.policies import shop_policy

NOW_MS = 1_767_225_600_000


def test_change_kinds__columns_and_objects_count_alike() -> None:
    """Rises by orders and falls by time are counted by ladder, direction, cause and rungs, in both forms."""
    event = {"event_id": "e", "user_id": "u", "type": "order_paid", "event_time": NOW_MS, "amount": 90_000}
    events = [event | {"event_id": f"e{n}", "order_id": f"o{n}", "user_id": f"u{n % 3}"} for n in range(12)]
    plan, changes = scored(shop_policy(), events, NOW_MS + 400 * 86_400_000)
    parts = [chunk.changes for chunk in plan.chunks]
    assert all(isinstance(part, ChangeColumns) for part in parts)
    wanted = Counter(
        ChangeKind(one.ladder, one.direction, one.cause, one.from_rung, one.to_rung or "") for one in changes
    )
    assert {kind.direction for kind in wanted} == {"up", "down"}
    assert kinds_of(parts) == kinds_of([changes]) == wanted
