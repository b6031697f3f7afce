"""The way of an event, top to bottom. This file strings the stages together."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.decode import Decode
from flows.progress import Progress
from flows.score import Score
from flows.source import Source
from flows.writer import Write

Item = TypeVar("Item")
Result = TypeVar("Result")


def build(source: Source, decode: Decode, score: Score, write: Write, progress: Progress) -> Dataflow:
    """
    Build the dataflow of one worker process.

    Every step takes what the step before returned, in order, before the source is asked again. So an item
    in the stream (a Tick, a Claimed) is as ordered as the data, and commits need no snapshots of the engine.
    The writer takes items in that order too, and runs commit and emit while the next batch is read.
    """
    flow = Dataflow("tierwise")
    items: Any = op.input("source", flow, source)
    items = op.flat_map_batch("decode", items, guarded(decode, progress))
    items = op.flat_map_batch("score", items, guarded(score, progress))
    op.output("write", items, write)  # flows/commit.py, then flows/emit.py
    return flow


def guarded(
    stage: Callable[[Sequence[Item]], list[Result]], progress: Progress
) -> Callable[[list[Item]], list[Result]]:
    """End the dataflow on an error of a stage, without the engine's panic, and let nothing more through."""

    def step(items: list[Item]) -> list[Result]:
        if progress.failure:
            return []
        try:
            return stage(items)
        except Exception as error:
            progress.fail(error)
            return []

    return step
