"""What an operator of webhooks asks. This file describes the rows; beside.py makes a page of them."""

from config.grafana.panels import GREEN, RED, YELLOW, Query, Row, areas, lines, stat

ALERTS = 'ALERTS{alertname=~"Tierwise(Webhooks|Profiles|Rekey).+", alertstate="firing", job=~"$jobs"}'
_ZERO_IS_GOOD = ((None, GREEN), (1, RED))


def _gauge(how: str, name: str) -> Query:
    """Ask for a gauge of an endpoint over all processes that deliver to it."""
    expr = f"{how} by (job, endpoint) (tierwise_webhooks_{name}{{ENDPOINT}})"
    return Query(expr, "{{job}} {{endpoint}}")


def _rate(name: str) -> Query:
    """Ask how fast a counter of an endpoint rises, all processes together."""
    expr = f"sum by (job, endpoint) (rate(tierwise_webhooks_{name}_total{{ENDPOINT}}[$__rate_interval]))"
    return Query(expr, "{{job}} {{endpoint}}")


def _quantiles(histogram: str) -> tuple[Query, ...]:
    """Ask for median and 99th percentile of a histogram, for each endpoint."""
    rate = f"sum by (job, endpoint, le) (rate(tierwise_webhooks_{histogram}_bucket{{ENDPOINT}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({part}, {rate})", f"{{{{job}}}} {{{{endpoint}}}} {name}")
        for part, name in ((0.5, "p50"), (0.99, "p99"))
    )


ARRIVING = Row(
    "Webhooks: do changes arrive?",
    (
        stat(
            "Endpoints disabled",
            "Endpoints that get nothing until `tierwise webhooks` is started again; all that comes for them is parked.",
            "short",
            "sum(max by (job, endpoint) (tierwise_webhooks_disabled{ENDPOINT}))",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Endpoints without owner",
            "Endpoints of which no running process has a partition. Some seconds at a restart are normal."
            " Nothing is shown while no process runs.",
            "short",
            "sum(sum by (job, endpoint) (tierwise_webhooks_owned_partitions{ENDPOINT}) == bool 0)",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Oldest change waiting",
            "Age of the oldest change that was read and not delivered. The plan of retries goes on for days.",
            "s",
            "max(tierwise_webhooks_oldest_pending_seconds{ENDPOINT})",
            (None, GREEN),
            (60, YELLOW),
            (900, RED),
        ),
        stat(
            "Attempts that failed",
            "Share of all attempts. Each is made again by the plan.",
            "percentunit",
            "sum(rate(tierwise_webhooks_failed_total{ENDPOINT}[$__rate_interval]))"
            " / sum(rate(tierwise_webhooks_attempt_seconds_count{ENDPOINT}[$__rate_interval]))",
            (None, GREEN),
            (0.05, YELLOW),
            (0.5, RED),
        ),
        stat(
            "Given up",
            "Changes that were parked, or that Kafka deleted unread, within the time that is shown."
            " `tierwise webhooks list` shows those parked.",
            "short",
            "round(sum(increase(tierwise_webhooks_parked_total{ENDPOINT}[$__range]))"
            " + sum(increase(tierwise_webhooks_lost_total{ENDPOINT}[$__range])))",
            *_ZERO_IS_GOOD,
        ),
        stat(
            "Alerts firing",
            "Alerts about webhooks, newest profiles and rekey that fire for these jobs.",
            "short",
            f"count({ALERTS}) or vector(0)",
            *_ZERO_IS_GOOD,
        ),
        lines(
            "Delivered",
            "Changes that an endpoint has taken each second. Flat at its `rate` while much waits: raise `rate`.",
            "cps",
            _rate("delivered"),
        ),
        lines(
            "From Kafka to the endpoint",
            "Age of changes when they were taken. Far above an attempt's duration: they wait, look below for what.",
            "s",
            *_quantiles("delivery_seconds"),
        ),
        lines(
            "Behind the change topic",
            "Messages from the oldest that is not settled to the end, in everything and not only in what is wanted.",
            "short",
            _gauge("sum", "lag_messages"),
        ),
    ),
)

HELD_UP = Row(
    "Webhooks: what holds them up?",
    (
        areas(
            "What became of the attempts",
            "`http_5xx`, `timeout`, `connect`, `dns`, `tls`: the receiver, or the way to it. `http_4xx`: what it thinks"
            " of our requests. `address`: a name that leads inside.",
            "cps",
            Query("sum(rate(tierwise_webhooks_delivered_total{ENDPOINT}[$__rate_interval]))", "taken"),
            Query(
                "sum by (class) (rate(tierwise_webhooks_failed_total{ENDPOINT}[$__rate_interval]))",
                "{{class}}",
            ),
        ),
        lines(
            "Failed attempts, by endpoint",
            "Attempts that failed each second. One endpoint alone: its receiver. All: the way out.",
            "cps",
            _rate("failed"),
        ),
        lines(
            "Duration of an attempt",
            "From the look-up of the name to the answer, or to the failure. An endpoint takes at most its"
            " `concurrency` divided by this each second.",
            "s",
            *_quantiles("attempt_seconds"),
        ),
        lines(
            "Waiting",
            "Changes that were read and are not settled. At `webhooks.pending_max` nothing more is read for it.",
            "short",
            _gauge("sum", "pending"),
        ),
        lines(
            "Waiting for another attempt",
            "Those that failed and will be tried again, and what waits behind them. The others that wait are paced"
            " by `rate`, or by the receiver.",
            "short",
            _gauge("sum", "retrying"),
        ),
        lines(
            "Asked to be left alone",
            "For how long from now an endpoint wants nothing (`Retry-After`, a day at most).",
            "s",
            _gauge("max", "held_seconds"),
        ),
        lines(
            "Oldest change waiting, by endpoint",
            "It rises as time passes while the oldest change is tried again and again.",
            "s",
            _gauge("max", "oldest_pending_seconds"),
            width=12,
        ),
        lines(
            "Partitions of a process",
            "How each endpoint's group has shared out the change topic. Uneven or moving: processes come and go.",
            "short",
            Query("tierwise_webhooks_owned_partitions{ENDPOINT}", "{{job}} {{instance}} {{endpoint}}"),
            width=12,
        ),
    ),
)

GIVEN_UP = Row(
    "Webhooks: what was given up?",
    (
        areas(
            "Parked, by reason",
            "Changes that were given up each second. `tierwise webhooks resend` sends them once more.",
            "cps",
            Query(
                "sum by (reason) (rate(tierwise_webhooks_parked_total{ENDPOINT}[$__rate_interval]))",
                "{{reason}}",
            ),
            width=6,
        ),
        lines(
            "Parked, by endpoint",
            "Its receiver does not know of these changes.",
            "cps",
            _rate("parked"),
            width=6,
        ),
        lines(
            "Lost",
            "Messages that Kafka deleted before they were read: it has to keep the change topic for longer.",
            "mps",
            _rate("lost"),
            width=6,
        ),
        lines(
            "Not asked for",
            "Messages that an endpoint's filters leave out, or that are no change.",
            "mps",
            _rate("filtered"),
            width=6,
        ),
    ),
)
