"""All metrics, each observed once. This file makes them, and lists their names, types and labels."""

import numpy as np
from prometheus_client import CollectorRegistry

from flows.hop.watch import HopWatch
from flows.webhooks.metrics import WebhookMetrics
from scoring.events import LadderChange
from sinks.metrics import Metrics
from tests.unit.test_metrics import Counts


def observed_metrics() -> Metrics:
    """Make metrics of which each has been observed, so that all labels show."""
    metrics = Metrics("tierwise", "1.2.3", "shop@3")
    metrics.observe_counts(0, Counts())
    change = LadderChange(
        "u1", 1, "tier", "bronze", "silver", 0, 1, "event", "e1", 20.0, 0, 0, "gold", 30.0, 1000, (), "shop@1"
    )  # fmt: skip
    metrics.observe_changes([[change]])
    metrics.observe_commit(0.01, 5)
    metrics.observe_visible(np.array([0.2, 3.0]))
    metrics.observe_rungs(0, "tier", ("bronze", "gold"), (5, 1))
    metrics.observe_shard(0, users=6, outbox_pending=2)
    metrics.observe_lag(0, "orders", 5, 0.5)
    metrics.observe_stop(0, "orders", False)
    metrics.observe_watermark(0, 5.0)
    for gauge in (
        metrics.shard_users_in_memory,
        metrics.outbox_oldest_seconds,
        metrics.deadlines_behind,
        metrics.last_commit,
    ):
        gauge.labels("0").set(1)
    metrics.users_new.labels("0").inc()
    return metrics


def served(registry: CollectorRegistry) -> dict[str, tuple[str, frozenset[str]]]:
    """Answer type and labels of each metric, by the name that queries use."""
    found = {}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.samples, name
        found[name] = family.type, frozenset(family.samples[0].labels) - {"le"}
    return found


def served_by_all() -> dict[str, tuple[str, frozenset[str]]]:
    """Answer the same for a worker and all that runs beside it."""
    registries = [observed_metrics().registry, WebhookMetrics("tierwise", "1", ["one"]).registry]
    registries += [HopWatch("tierwise", name, "1").registry for name in ("profiles", "rekey")]
    return {name: said for registry in registries for name, said in served(registry).items()}
