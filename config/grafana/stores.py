"""Redis and Kafka as the workers see them. This file describes the page."""

from config.grafana.panels import (
    GREEN,
    RED,
    YELLOW,
    Dashboard,
    Panel,
    Query,
    Row,
    lines,
    once,
    quantiles,
    stat,
)
from config.grafana.workers import WORKER_ANNOTATIONS, WORKER_VARIABLES

_TROUBLE = ((None, GREEN), (1, RED))

_REDIS = Row(
    "Redis",
    (
        stat(
            "Commit, 99th percentile",
            "99% of the commits of a shard, with all their chunks, took at most this long.",
            "s",
            "histogram_quantile(0.99, sum by (le) (rate(tierwise_commit_seconds_bucket{JOB}[$__rate_interval])))",
            (None, GREEN),
            (0.25, YELLOW),
            (1, RED),
        ),
        stat(
            "Commits a second",
            "Commits of all shards.",
            "cps",
            "sum(rate(tierwise_commit_seconds_count{JOB}[$__rate_interval]))",
        ),
        stat(
            "Users a commit",
            "Mean number of users that one commit writes.",
            "short",
            "sum(rate(tierwise_commit_users_sum{JOB}[$__rate_interval]))"
            " / sum(rate(tierwise_commit_users_count{JOB}[$__rate_interval]))",
        ),
        stat(
            "Fenced",
            "Shards that were dropped because another worker had taken them, within the time that is shown.",
            "short",
            "round(sum(increase(tierwise_shards_fenced_total{JOB}[$__range])))",
            *_TROUBLE,
        ),
        stat(
            "Reloaded",
            "Shards that were loaded again because Redis had gone back in time, within the time that is shown.",
            "short",
            "round(sum(increase(tierwise_shards_reloaded_total{JOB}[$__range])))",
            *_TROUBLE,
        ),
        stat(
            "Commits failed",
            "Commits that ended in an error after all retries; each ends a worker. Within the time that is shown.",
            "short",
            "round(sum(increase(tierwise_store_errors_total{JOB}[$__range])))",
            *_TROUBLE,
        ),
        Panel(
            "heatmap",
            "Commits by duration",
            "How many commits took how long.",
            "s",
            (
                Query(
                    "sum by (le) (increase(tierwise_commit_seconds_bucket{JOB}[$__rate_interval]))", "{{le}}"
                ),
            ),
        ),
        lines(
            "Duration of a commit",
            "From the first byte to Redis's last answer, all chunks of a shard together.",
            "s",
            *quantiles("tierwise_commit_seconds"),
        ),
        lines(
            "Users of a commit",
            "Distribution of how many users one commit writes. Few: little load, or a short `commit_interval`.",
            "short",
            *quantiles("tierwise_commit_users"),
        ),
        lines(
            "Users written",
            "Users written to Redis each second, by worker.",
            "cps",
            Query(
                "sum by (instance) (rate(tierwise_commit_users_sum{JOB}[$__rate_interval]))", "{{instance}}"
            ),
        ),
        lines(
            "Redis does not answer",
            "For how long Redis has been at what it was given last, retries included. After 30 s the worker ends.",
            "s",
            Query("tierwise_store_behind_seconds{JOB}", "{{instance}}"),
            steps=((None, GREEN), (30, RED)),
        ),
        lines(
            "Last commit",
            "How long ago Redis took the last commit of a shard. One where nothing happens makes none.",
            "s",
            Query(
                f"time() - {once('tierwise_last_commit_timestamp_seconds{SHARD}')}",
                "{{shard}}",
            ),
        ),
        lines(
            "Duration of a look-up",
            "How long scoring waits for Redis to find users at rest of whom a message came, or requests to erase.",
            "s",
            *quantiles("tierwise_lookup_seconds"),
            width=12,
        ),
        lines(
            "Look-ups",
            "Looks of scoring into Redis each second: for users at rest, and twice for each partition for erasures.",
            "cps",
            Query("sum by (of) (rate(tierwise_lookup_seconds_count{JOB}[$__rate_interval]))", "{{of}}"),
            width=12,
        ),
        lines(
            "Trouble",
            "Each second: shards fenced, shards reloaded, and commits that failed, by the kind of error.",
            "cps",
            Query("sum(rate(tierwise_shards_fenced_total{JOB}[$__rate_interval]))", "fenced"),
            Query("sum(rate(tierwise_shards_reloaded_total{JOB}[$__rate_interval]))", "reloaded"),
            Query("sum by (error) (rate(tierwise_store_errors_total{JOB}[$__rate_interval]))", "{{error}}"),
        ),
        lines(
            "Connections of a worker",
            "Open files and connections. A number that only rises is a leak.",
            "short",
            Query("tierwise_process_open_fds{JOB}", "{{instance}}"),
        ),
        lines(
            "Memory of a worker",
            "Resident memory. It grows with the users whom time can move, and falls when they come to rest.",
            "bytes",
            Query("tierwise_process_resident_memory_bytes{JOB}", "{{instance}}"),
        ),
    ),
)

_INPUT = Row(
    "Kafka: input",
    (
        lines(
            "Backlog",
            "Messages from the next offset in Redis to the end of the topic partition.",
            "short",
            Query(once("tierwise_lag_messages{SHARD}", "topic"), "{{topic}} {{shard}}"),
        ),
        lines(
            "Read",
            "Messages taken from the input each second, by partition.",
            "mps",
            Query(
                "sum by (shard) (rate(tierwise_messages_consumed_total{SHARD}[$__rate_interval]))",
                "{{shard}}",
            ),
        ),
        lines(
            "Partitions of a worker",
            "How Kafka's group has shared out the partitions. Each move is a rebalance.",
            "short",
            Query("tierwise_owned_partitions{JOB}", "{{instance}}"),
        ),
        lines(
            "Read again",
            "Messages that were read again and that Redis already held: after a restart, a rebalance or a rollback.",
            "mps",
            Query(
                "sum by (shard) (rate(tierwise_messages_replayed_skipped_total{SHARD}[$__rate_interval]))",
                "{{shard}}",
            ),
        ),
        lines(
            "Sent twice",
            "Messages whose event was applied before: their sender repeats itself.",
            "mps",
            Query(
                "sum by (shard) (rate(tierwise_messages_duplicate_total{SHARD}[$__rate_interval]))",
                "{{shard}}",
            ),
        ),
        lines(
            "Stopped",
            "1 while nothing is read of a topic partition because of its dead letters.",
            "short",
            Query(once("tierwise_partition_stopped{SHARD}", "topic"), "{{topic}} {{shard}}"),
        ),
    ),
)

_OUTPUT = Row(
    "Kafka: output",
    (
        lines(
            "Published",
            "Changes and dead letters that Kafka confirmed each second, by worker.",
            "mps",
            Query("rate(tierwise_entries_published_total{JOB}[$__rate_interval])", "{{instance}}"),
        ),
        lines(
            "Deliveries that failed",
            "They are tried again, in order, until Kafka takes them.",
            "mps",
            Query("rate(tierwise_publish_failures_total{JOB}[$__rate_interval])", "{{instance}}"),
        ),
        lines(
            "Outbox",
            "Entries in Redis that Kafka has not confirmed.",
            "short",
            Query(once("tierwise_outbox_pending{SHARD}"), "{{shard}}"),
        ),
        lines(
            "Oldest entry of the outbox",
            "For how long a worker has had the oldest entry that Kafka has not confirmed.",
            "s",
            Query(once("tierwise_outbox_oldest_seconds{SHARD}"), "{{shard}}"),
            width=12,
        ),
        lines(
            "Outbox full",
            "1 while nothing is read because 100,000 entries wait for Kafka.",
            "short",
            Query("tierwise_outbox_full{JOB}", "{{instance}}"),
            width=12,
        ),
    ),
)

STORES = Dashboard(
    "tierwise-stores",
    "Tierwise: Redis and Kafka",
    "Both as the workers see them: how long they take, what they refuse, what waits.",
    (_REDIS, _INPUT, _OUTPUT),
    WORKER_VARIABLES,
    WORKER_ANNOTATIONS,
)
