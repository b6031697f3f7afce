"""This file holds a field map to the policy that scores what it reads."""

from collections.abc import Iterator, Mapping

from config.field_map import FieldMap
from config.problems import Problem, path_text
from scoring.policy import Policy

NEEDED_BY_ORDERS = ("order_id", "amount")


def format_problems(formats: Mapping[str, FieldMap], policy: Policy) -> list[Problem]:
    """Answer what would set every order or refund of a topic aside: maps that do not say where its fields stand."""
    found = []
    for topic, field_map in formats.items():
        for problem in dict.fromkeys(_incomplete(field_map, policy)):
            found.append(Problem(path_text(("topics", "formats", topic)), f"{field_map.source}: {problem}"))
    return found


def unscored_types(field_map: FieldMap, policy: Policy) -> list[str]:
    """Answer the types that a map gives to events and that the policy ignores."""
    scored = {event.name for event in policy.events}
    return sorted({rule.type for rule in (field_map.events or {}).values()} - scored)


def _incomplete(field_map: FieldMap, policy: Policy) -> Iterator[Problem]:
    needing = {event.name for event in policy.events if event.order or event.refund}
    for name, rule in (field_map.events or {}).items():
        if rule.type in needing:
            for field in NEEDED_BY_ORDERS:
                if not {**field_map.fields, **rule.fields}.get(field):
                    place = path_text(("events", name))
                    yield Problem(place, f"{rule.type} needs {field}, and no field says where it stands")
