"""Random changes of a policy: each piece kept, replaced, renamed or dropped. This file is for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from config.policy_file import parse_policy
from scoring.policy import Policy
from tests.strategies_policy import TIMEZONES, policy_documents, score_documents

Draw = Callable[..., Any]
KEEP, REPLACE, DROP = "keep", "replace", "drop"


@st.composite
def policy_changes(draw: Draw) -> tuple[Policy, Policy]:
    """Draw a policy and the one that takes its place, of the same name and currency."""
    old, new = draw(policy_documents()), draw(policy_documents(version=2))
    new["currency"] = old["currency"]
    new["timezone"] = draw(st.sampled_from([old["timezone"], old["timezone"], *TIMEZONES]))
    if draw(st.booleans()):
        for key in ("order_memory", "orders_per_user"):
            new.pop(key, None)
            new |= {key: old[key]} if key in old else {}
    new["features"] = draw(changed_features(old["features"], new["features"]))
    new["scores"] = draw(changed_scores(old["scores"], new["scores"], new["features"]))
    for section in ("ladders", "tags"):
        new[section] = draw(changed_ladders(old[section], new[section], list(new["scores"])))
    return parse_policy(old, "old"), parse_policy(new, "new")


@st.composite
def changed_features(draw: Draw, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Mix features by the number in their names: a ratio goes with what it divides."""
    mixed: dict[str, Any] = {}
    for number in {name.rpartition("_")[2] for name in [*old, *new]}:
        ours, theirs = (
            {name: feature for name, feature in features.items() if name.endswith(f"_{number}")}
            for features in (old, new)
        )
        mixed |= theirs if draw(st.integers(0, 2)) == 0 else ours
    order = draw(st.permutations(sorted(mixed)))
    return {name: mixed[name] for name in order} or new


@st.composite
def changed_scores(
    draw: Draw, old: dict[str, Any], new: dict[str, Any], features: dict[str, Any]
) -> dict[str, Any]:
    """Keep scores whose features are all there; draw the others."""
    scores = {}
    for name in new:
        kept = old.get(name, {"parts": {"": []}})
        is_kept = set(kept["parts"]) <= set(features) and draw(st.integers(0, 2)) > 0
        scores[name] = kept if is_kept else draw(score_documents(features))
    return scores


@st.composite
def changed_ladders(
    draw: Draw, old: dict[str, Any], new: dict[str, Any], scores: list[str]
) -> dict[str, Any]:
    """Keep, replace or drop each ladder, and rename or remove a rung now and then."""
    mixed = dict(new)
    for name, ladder in old.items():
        choice = draw(st.sampled_from([KEEP, KEEP, REPLACE, DROP]))
        if choice == DROP and len(mixed) > 1:
            mixed.pop(name, None)
        if choice == KEEP and ladder["score"] in scores:
            mixed[name] = ladder
    return {name: draw(changed_rungs(ladder)) for name, ladder in mixed.items()}


@st.composite
def changed_rungs(draw: Draw, ladder: dict[str, Any]) -> dict[str, Any]:
    """Rename or remove one rung of a ladder, or leave it."""
    rungs = list(ladder.get("rungs", ()))
    if rungs and draw(st.booleans()):
        rank = draw(st.integers(0, len(rungs) - 1))
        if rank > 0 and len(rungs) > 2 and draw(st.booleans()):
            del rungs[rank]
        else:
            rungs[rank] = rungs[rank] | {"name": "renamed"}
        return ladder | {"rungs": rungs}
    return ladder
