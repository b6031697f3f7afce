"""This file holds the rules of scores and ladders: curves that cannot rise in silence, rungs in order."""

import math

from config.draft import Draft
from config.problems import PathPart, unknown_name
from scoring.policy import LADDERS_MAX, Feature, Ladder, Part, Rung, Score

# Where neither margin nor keep_at is given, reach and keep are one: a score on the threshold may flap.
MARGIN_DEFAULT = 0.0

# The fields of a profile that belong to no ladder.
USER_FIELDS = frozenset(
    ["as_of_ms", "seq", "policy", "v", "shard", "first_seen_ms", "last_seen_ms", "orders", "spend", "tags"]
)

Path = tuple[PathPart, ...]
Point = tuple[float, float]

LOWEST = -math.inf


def read_scores(draft: Draft, features: tuple[Feature, ...]) -> tuple[Score, ...]:
    """Answer the scores; every part names a feature and moves the way its kind allows."""
    kind_of = {feature.name: feature.kind for feature in features}
    scores = []
    for name in draft.keys("scores"):
        parts = []
        for feature in draft.keys("scores", name, "parts"):
            path: Path = ("scores", name, "parts", feature)
            if feature not in draft.keys("features"):
                draft.report(path, unknown_name("feature", feature, draft.keys("features")))
            parts.append(Part(feature, _read_curve(draft, path, kind_of.get(feature))))
        scores.append(Score(name, draft.value("scores", name, "combine", default="sum"), tuple(parts)))
    return tuple(scores)


def _read_curve(draft: Draft, path: Path, kind: str | None) -> tuple[Point, ...]:
    curve: list[Point] = []
    for index, (x, points) in enumerate(draft.value(*path, default=())):
        spot: Path = (*path, index)
        if isinstance(x, str) and kind not in ("since", None):
            draft.report((*spot, 0), f"only a since feature is measured in time, {path[-1]} is {kind}")
            return ()
        point = (draft.number_or_seconds(*spot, 0), float(points))
        if curve:
            _check_step(draft, spot, kind, curve[-1], point)
        curve.append(point)
    return tuple(curve)


def _check_step(draft: Draft, spot: Path, kind: str | None, before: Point, point: Point) -> None:
    if point[0] <= before[0]:
        draft.report((*spot, 0), f"x must rise from point to point, got {point[0]} after {before[0]}")
    if kind == "since":
        if point[1] > before[1]:
            draft.report(
                (*spot, 1), f"must not rise where the feature is since, got {point[1]} after {before[1]}"
            )
    elif kind not in ("ratio", None) and point[1] < before[1]:
        draft.report(
            (*spot, 1), f"must not fall where the feature is {kind}, got {point[1]} after {before[1]}"
        )


def read_ladders(draft: Draft) -> tuple[Ladder, ...]:
    """Answer the ladders in file order, then the tags in file order."""
    ladders = [_read_ladder(draft, name) for name in draft.keys("ladders")]
    tags = [_read_tag(draft, name) for name in draft.keys("tags")]
    for section, name in (
        *(("ladders", each.name) for each in ladders),
        *(("tags", each.name) for each in tags),
    ):
        if name in USER_FIELDS:
            draft.report((section, name), "is the name of a user field of profiles; choose another")
        if section == "tags" and name in draft.keys("ladders"):
            draft.report((section, name), "is the name of a ladder already; choose another")
    if len(ladders) + len(tags) > LADDERS_MAX:
        draft.report(("ladders",), f"at most {LADDERS_MAX} ladders and tags, got {len(ladders) + len(tags)}")
    return (*ladders, *tags)


def _read_ladder(draft: Draft, name: str) -> Ladder:
    path: Path = ("ladders", name)
    steps = draft.value(*path, "max_steps_down", default=0)
    period_ms = draft.duration_ms(*path, "step_period")
    if steps and not period_ms and draft.structure.sound(*path, "step_period"):
        draft.report((*path, "step_period"), f"must be above 0 where max_steps_down is given ({steps})")
    return Ladder(
        name=name,
        score=_read_score_name(draft, path),
        rungs=_read_rungs(draft, path),
        grace_ms=draft.duration_ms(*path, "grace"),
        min_dwell_ms=draft.duration_ms(*path, "min_dwell"),
        max_steps_down=int(steps),
        step_period_ms=period_ms,
    )


def _read_tag(draft: Draft, name: str) -> Ladder:
    path: Path = ("tags", name)
    enter_at, keep_at = _read_thresholds(draft, path, path)
    return Ladder(
        name=name,
        score=_read_score_name(draft, path),
        rungs=(Rung("off", LOWEST, LOWEST), Rung("on", enter_at, keep_at)),
        grace_ms=draft.duration_ms(*path, "grace"),
        min_dwell_ms=draft.duration_ms(*path, "min_dwell"),
        tag=True,
    )


def _read_score_name(draft: Draft, path: Path) -> str:
    name: str = draft.value(*path, "score", default="")
    if name and name not in draft.keys("scores"):
        draft.report((*path, "score"), unknown_name("score", name, draft.keys("scores")))
    return name


def _read_rungs(draft: Draft, path: Path) -> tuple[Rung, ...]:
    rungs: list[Rung] = []
    for index in range(draft.length(*path, "rungs")):
        spot: Path = (*path, "rungs", index)
        name = draft.value(*spot, "name", default="")
        if name and any(rung.name == name for rung in rungs):
            draft.report((*spot, "name"), f"a rung above already has the name {name!r}")
        if index == 0:
            for key in ("enter_at", "keep_at"):
                if draft.value(*spot, key) is not None:
                    draft.report(
                        (*spot, key), "the lowest rung is where everyone starts, it has no threshold"
                    )
            rungs.append(Rung(name, LOWEST, LOWEST))
            continue
        if draft.structure.sound(*spot) and "enter_at" not in draft.value(*spot):
            draft.report((*spot, "enter_at"), "is missing: the score that reaches it")
        rung = Rung(name, *_read_thresholds(draft, spot, path))
        if not math.isnan(rung.enter_at):
            _check_order(draft, spot, rungs[-1], rung)
        rungs.append(rung)
    return tuple(rungs)


def _read_thresholds(draft: Draft, path: Path, margin_path: Path) -> Point:
    """Answer enter_at and keep_at; NaN stands for what is not known, and compares with nothing."""
    enter_at = float(draft.value(*path, "enter_at", default=math.nan))
    margin = float(draft.value(*margin_path, "margin", default=MARGIN_DEFAULT))
    given = draft.value(*path, "keep_at")
    keep_at = enter_at * (1 - margin) if given is None else float(given)
    if keep_at > enter_at:
        if given is None:
            draft.report(
                (*path, "enter_at"), f"a margin needs a threshold of 0 or more, got {enter_at}; say keep_at"
            )
        else:
            draft.report((*path, "keep_at"), f"must be below enter_at ({enter_at}), got {keep_at}")
    return enter_at, keep_at


def _check_order(draft: Draft, path: Path, below: Rung, rung: Rung) -> None:
    if rung.enter_at <= below.enter_at:
        draft.report(
            (*path, "enter_at"),
            f"must be above enter_at of {below.name} ({below.enter_at}), got {rung.enter_at}",
        )
    elif rung.keep_at < below.keep_at:
        spot = (*path, "keep_at" if draft.value(*path, "keep_at") is not None else "enter_at")
        draft.report(
            spot, f"keep_at must not be below that of {below.name} ({below.keep_at}), got {rung.keep_at}"
        )
