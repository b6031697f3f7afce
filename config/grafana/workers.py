"""What the dashboards of workers have in common. This file holds their choices and their marks."""

from config.grafana.panels import RED, Annotation, Variable

WORKER_VARIABLES = (
    Variable("job", "Job", "tierwise_build_info", "job"),
    Variable("partition", "Partition", "tierwise_messages_consumed_total{JOB}", "shard", several=True),
)
WORKER_ANNOTATIONS = (
    Annotation(
        "Alerts",
        'ALERTS{alertname=~"Tierwise.+", alertstate="firing", job=~"$job|"}',
        "{{alertname}}",
        "{{severity}} {{instance}} {{shard}}",
        "alertname,severity",
        RED,
    ),
    Annotation(
        "Workers started",
        "tierwise_process_start_time_seconds{JOB} * 1000",
        "Worker started",
        "{{instance}}",
        "instance",
        "blue",
        value_is_time=True,
    ),
    Annotation(
        "Policy changes",
        "sum by (policy) (tierwise_build_info{JOB})"
        " unless sum by (policy) (tierwise_build_info{JOB} offset 5m)",
        "New policy",
        "{{policy}}",
        "policy",
        "purple",
    ),
)
