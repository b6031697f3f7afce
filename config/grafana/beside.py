"""The page of what runs beside the workers: webhooks, and the commands that copy. This file describes it."""

from config.grafana.panels import RED, Annotation, Dashboard, Query, Row, Variable, lines
from config.grafana.webhooks import ALERTS, ARRIVING, GIVEN_UP, HELD_UP

_COPIERS = ("profiles", "rekey")
_NEW = " or ".join(
    f"group by (job, instance, version) (tierwise_{command}_build_info{{BESIDE}})"
    f" unless group by (job, instance, version) (tierwise_{command}_build_info{{BESIDE}} offset 5m)"
    for command in ("webhooks", *_COPIERS)
)


def _copied(template: str) -> tuple[Query, ...]:
    """Ask the same of each command that copies; `COMMAND` stands for its name."""
    return tuple(Query(template.replace("COMMAND", name), f"{{{{job}}}} {name}") for name in _COPIERS)


_COPIES = Row(
    "Copies: newest profiles, and topics that are keyed anew",
    (
        lines(
            "Copies behind",
            "Messages that are not copied yet. A rising line of rekey: workers hear late of that topic.",
            "short",
            *_copied("sum by (job) (tierwise_COMMAND_lag_messages{BESIDE})"),
        ),
        lines(
            "Read for copies",
            "Messages that were read each second, and what came of them is committed.",
            "mps",
            *_copied("sum by (job) (rate(tierwise_COMMAND_read_total{BESIDE}[$__rate_interval]))"),
        ),
        lines(
            "Copies written",
            "Profiles fewer than read: one for each user of a transaction. Rekey as many as read.",
            "mps",
            *_copied("sum by (job) (rate(tierwise_COMMAND_written_total{BESIDE}[$__rate_interval]))"),
        ),
        lines(
            "Transactions rolled back",
            "They are made again. Again and again: Redis or Kafka, and after 20 in a row the process ends.",
            "cps",
            *_copied("sum by (job) (rate(tierwise_COMMAND_undone_total{BESIDE}[$__rate_interval]))"),
            width=12,
        ),
        lines(
            "Partitions of a copying process",
            "How Kafka's group has shared out the topic that is copied.",
            "short",
            *(
                Query(f"tierwise_{name}_owned_partitions{{BESIDE}}", f"{{{{job}}}} {{{{instance}}}} {name}")
                for name in _COPIERS
            ),
            width=12,
        ),
    ),
)

BESIDE = Dashboard(
    "tierwise-beside",
    "Tierwise: beside the workers",
    "For whoever is on call: do webhooks arrive, what holds them up, what was given up; and do the copies keep up.",
    (ARRIVING, HELD_UP, GIVEN_UP, _COPIES),
    (
        Variable(
            "jobs", "Jobs", '{__name__=~"tierwise_(webhooks|profiles|rekey)_build_info"}', "job", several=True
        ),
        Variable("endpoint", "Endpoint", "tierwise_webhooks_pending{BESIDE}", "endpoint", several=True),
    ),
    (
        Annotation("Alerts", ALERTS, "{{alertname}}", "{{severity}} {{endpoint}}", "alertname,severity", RED),
        Annotation("New processes", _NEW, "New process", "{{job}} {{version}}", "instance", "blue"),
    ),
)
