"""The page for whoever is on call: is it fresh, is it complete, where is the bottleneck. This file describes it."""

from config.grafana.panels import (
    GREEN,
    RED,
    YELLOW,
    Dashboard,
    Query,
    Row,
    areas,
    lines,
    once,
    quantiles,
    stat,
)
from config.grafana.workers import WORKER_ANNOTATIONS, WORKER_VARIABLES

_ZERO_IS_GOOD = ((None, GREEN), (1, RED))
_LATE = ((None, GREEN), (2.5, YELLOW), (60, RED))

_FRESH = Row(
    "Is it fresh?",
    (
        stat(
            "Visible in time, now",
            "Share of the messages of the last 5 minutes that were in Redis within 2.5 s of their Kafka timestamp."
            " The objective is 99%. Nothing is shown while no message is written.",
            "percentunit",
            "job:tierwise_visible_in_time:ratio_rate5m{JOB}",
            (None, RED),
            (0.99, GREEN),
        ),
        stat(
            "Visible in time, 30 days",
            "The same over 30 days: this is the objective. Prometheus has to keep as much.",
            "percentunit",
            "job:tierwise_visible_in_time:ratio_rate30d{JOB}",
            (None, RED),
            (0.99, GREEN),
        ),
        stat(
            "Error budget left",
            "What is left of the 1% of 30 days that may be late. Below 0 the objective is missed.",
            "percentunit",
            "1 - (1 - job:tierwise_visible_in_time:ratio_rate30d{JOB}) / 0.01",
            (None, RED),
            (0, YELLOW),
            (0.25, GREEN),
        ),
        stat(
            "Oldest message missing",
            "Age of the oldest message that the store does not show yet, over the chosen partitions.",
            "s",
            "max(tierwise_lag_seconds{SHARD})",
            *_LATE,
        ),
        stat(
            "Time behind",
            "How far event time, which fires deadlines, is behind the clock in the slowest partition."
            " Some seconds are normal; a replay of old events is as far behind as they are old.",
            "s",
            "max(tierwise_watermark_lag_seconds{SHARD})",
            (None, GREEN),
            (60, YELLOW),
            (600, RED),
        ),
        stat(
            "Alerts firing",
            "Alerts of tierwise that fire for this job, or because no worker answers at all.",
            "short",
            'count(ALERTS{alertname=~"Tierwise.+", alertstate="firing", job=~"$job|"}) or vector(0)',
            *_ZERO_IS_GOOD,
        ),
        lines(
            "From Kafka to Redis",
            "How long messages took to be visible, all workers together. The dashed line is the objective.",
            "s",
            *quantiles("tierwise_event_to_visible_seconds"),
            steps=((None, GREEN), (2.5, RED)),
        ),
        lines(
            "Oldest message missing, by partition",
            "One partition alone: it is hot, or it waits for another topic. All of them: Redis, load, or a stop.",
            "s",
            Query(once("tierwise_lag_seconds{SHARD}", "topic"), "{{topic}} {{shard}}"),
        ),
        lines(
            "Pace of the error budget",
            "1 uses up the 30 days' budget in exactly 30 days. Somebody is woken at 14.4 over an hour, or 6 over six.",
            "none",
            *(
                Query(f"(1 - job:tierwise_visible_in_time:ratio_rate{span}{{JOB}}) / 0.01", span)
                for span in ("5m", "1h", "6h", "3d")
            ),
        ),
    ),
)

_COMPLETE = Row(
    "Is it complete?",
    (
        stat(
            "Messages without a fate",
            "Consumed less applied, duplicate, ignored, dead-lettered and skipped: 0, or the program is wrong.",
            "short",
            "sum(abs(instance_shard:tierwise_messages_unaccounted:sum{SHARD}))",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Partitions without owner",
            "Partition numbers for which no worker holds users. Some seconds at a restart are normal.",
            "short",
            "max(tierwise_input_partitions{JOB})"
            " - (count(count by (shard) (tierwise_shard_users{JOB})) or vector(0))",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Partitions stopped",
            "Topic partitions of which nothing is read, because their sender is broken (`dead_letter_limit`).",
            "short",
            f"sum({once('tierwise_partition_stopped{SHARD}', 'topic')})",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Set aside",
            "Share of the messages that became dead letters.",
            "percentunit",
            "sum(rate(tierwise_messages_dead_lettered_total{SHARD}[$__rate_interval]))"
            " / sum(rate(tierwise_messages_consumed_total{SHARD}[$__rate_interval]))",
            (None, GREEN),
            (0.01, RED),
        ),
        stat(
            "Oldest change unpublished",
            "How long the oldest change or dead letter has been in Redis without Kafka confirming it.",
            "s",
            "max(tierwise_outbox_oldest_seconds{SHARD})",
            (None, GREEN),
            (10, YELLOW),
            (60, RED),
        ),
        stat(
            "Deadlines behind",
            "At most so many users stand on a rung that time has taken. Those of the last 5 s are normal.",
            "short",
            f"sum({once('tierwise_deadlines_behind{SHARD}')})",
        ),
        areas(
            "What became of the messages",
            "Each message has exactly one fate. Skipped ones were read again after a restart and counted before.",
            "mps",
            *(
                Query(f"sum(rate(tierwise_messages_{fate}_total{{SHARD}}[$__rate_interval]))", name)
                for fate, name in (
                    ("applied", "applied"),
                    ("duplicate", "duplicate"),
                    ("ignored", "ignored"),
                    ("dead_lettered", "set aside"),
                    ("replayed_skipped", "skipped"),
                )
            ),
        ),
        areas(
            "Set aside, by reason",
            "Dead letters by the contract's closed list of reasons. `tierwise dead-letters list` shows them.",
            "mps",
            Query(
                "sum by (reason) (rate(tierwise_messages_dead_lettered_total{SHARD}[$__rate_interval]))",
                "{{reason}}",
            ),
        ),
        lines(
            "Changes waiting for Kafka",
            "Durable in Redis and not confirmed by Kafka. At 100,000 reading stops.",
            "short",
            Query(once("tierwise_outbox_pending{SHARD}"), "{{shard}}"),
        ),
    ),
)

_BOTTLENECK = Row(
    "Where is the bottleneck?",
    (
        lines(
            "Arriving and scored",
            "Arriving is estimated: what is scored, and how the backlog grows. Scored stays below it? Look right.",
            "mps",
            Query(
                "clamp_min(sum(rate(tierwise_messages_consumed_total{SHARD}[$__rate_interval]))"
                f" + sum({once('deriv(tierwise_lag_messages{SHARD}[$__rate_interval])', 'topic')}), 0)",
                "arriving",
            ),
            Query("sum(rate(tierwise_messages_consumed_total{SHARD}[$__rate_interval]))", "scored"),
        ),
        lines(
            "CPU of a worker",
            "Near 100% the worker itself is the bottleneck: start more, up to the number of partitions.",
            "percentunit",
            Query("rate(tierwise_process_cpu_seconds_total{JOB}[$__rate_interval])", "{{instance}}"),
        ),
        lines(
            "Waiting for Redis",
            "Share of its time that a worker waits for Redis: to take commits, or to look up users and requests."
            " High while its CPU is idle: Redis, or the network.",
            "percentunit",
            Query("rate(tierwise_commit_seconds_sum{JOB}[$__rate_interval])", "{{instance}} commits"),
            Query(
                "sum by (instance) (rate(tierwise_lookup_seconds_sum{JOB}[$__rate_interval]))",
                "{{instance}} look-ups",
            ),
        ),
        lines(
            "Backlog",
            "Messages in Kafka that the store lacks. One topic of a partition alone: the other one holds it back.",
            "short",
            Query(once("tierwise_lag_messages{SHARD}", "topic"), "{{topic}} {{shard}}"),
        ),
        lines(
            "On the way to the store",
            "For how long something scored has waited for its commit. Steadily high: Redis does not answer.",
            "s",
            Query("tierwise_store_behind_seconds{JOB}", "{{instance}}"),
        ),
        lines(
            "Partitions of a worker",
            "Uneven or moving: the group is being shared out anew, and each move loads users again.",
            "short",
            Query("tierwise_owned_partitions{JOB}", "{{instance}}"),
        ),
    ),
)

OVERVIEW = Dashboard(
    "tierwise-overview",
    "Tierwise: overview",
    "For whoever is on call: is it fresh, is it complete, where is the bottleneck. What to do: docs/operations.md.",
    (_FRESH, _COMPLETE, _BOTTLENECK),
    WORKER_VARIABLES,
    WORKER_ANNOTATIONS,
)
