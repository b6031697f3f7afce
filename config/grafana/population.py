"""The page for whoever runs the shop's programmes: who stands where, and who moves. This file describes it."""

from config.grafana.panels import Dashboard, Panel, Query, Row, Variable, areas, lines, once, stat
from config.grafana.workers import WORKER_ANNOTATIONS, WORKER_VARIABLES

_USERS = f"sum({once('tierwise_shard_users{SHARD}')})"
_IN_MEMORY = f"sum({once('tierwise_shard_users_in_memory{SHARD}')})"
_LADDERS = "tierwise_rung_users{JOB}"
_TAGS = 'tierwise_rung_users{SHARD, rung="on"}'


def _rungs_of(ladder: str) -> str:
    users = f'tierwise_rung_users{{SHARD, ladder="{ladder}"}}'
    return f"sum by (rung) ({once(users, 'rung')})"


_WHO = Row(
    "Who is there?",
    (
        stat("Users", "Users that Redis has.", "short", _USERS),
        stat(
            "New users",
            "Users whom Redis did not have before, within the time that is shown.",
            "short",
            "sum(increase(tierwise_users_new_total{SHARD}[$__range]))",
        ),
        stat(
            "Erased users",
            "Users erased on request, within the time that is shown.",
            "short",
            "sum(increase(tierwise_users_erased_total{JOB}[$__range]))",
        ),
        stat(
            "Users at rest",
            "Users whom only a message can move: time has nothing to take from them, and they left memory.",
            "short",
            f"{_USERS} - {_IN_MEMORY}",
        ),
        stat(
            "Changes",
            "Changes of all ladders and tags, within the time that is shown.",
            "short",
            "sum(increase(tierwise_ladder_changes_total{JOB}[$__range]))",
        ),
        stat(
            "Falls by time",
            "The share of all falls that took place because nothing happened.",
            "percentunit",
            'sum(increase(tierwise_ladder_changes_total{JOB, direction="down", cause="time"}[$__range]))'
            ' / sum(increase(tierwise_ladder_changes_total{JOB, direction="down"}[$__range]))',
        ),
        areas(
            "Rungs of $ladder",
            "How many users stand on each rung of the chosen ladder.",
            "short",
            Query(_rungs_of("$ladder"), "{{rung}}"),
            width=12,
        ),
        lines(
            "Tags",
            "How many users have each tag.",
            "short",
            Query(f"sum by (ladder) ({once(_TAGS, 'ladder')})", "{{ladder}}"),
            width=12,
        ),
    ),
)

_MOVES = Row(
    "Who moves?",
    (
        Panel(
            "table",
            "Flow of $ladder",
            "Moves from the rung of the line to the rung of the column, within the time that is shown.",
            "short",
            (
                Query(
                    "round(sum by (from, to)"
                    ' (increase(tierwise_ladder_transitions_total{JOB, ladder="$ladder", to!=""}[$__range])))',
                    "{{from}} {{to}}",
                ),
            ),
            rows="from",
            columns="to",
        ),
        lines(
            "Rises and falls of $ladder",
            "Users who rose and users who fell on the chosen ladder, each second.",
            "cps",
            Query(
                "sum by (direction)"
                ' (rate(tierwise_ladder_changes_total{JOB, ladder="$ladder"}[$__rate_interval]))',
                "{{direction}}",
            ),
        ),
        areas(
            "Falls of $ladder, by cause",
            "By time: nothing happened for too long. By event or refund: something happened that took points."
            " By policy: the rules changed.",
            "cps",
            Query(
                "sum by (cause) (rate("
                'tierwise_ladder_changes_total{JOB, ladder="$ladder", direction="down"}[$__rate_interval]))',
                "{{cause}}",
            ),
        ),
        lines(
            "Changes, by ladder",
            "Changes of each ladder and tag a second: what the subscribers of the change topic get.",
            "cps",
            Query(
                "sum by (ladder) (rate(tierwise_ladder_changes_total{JOB}[$__rate_interval]))", "{{ladder}}"
            ),
        ),
        lines(
            "Deadlines fired",
            "Users who fell because time passed, each at the exact second.",
            "cps",
            Query("sum(rate(tierwise_deadlines_fired_total{JOB}[$__rate_interval]))", "fired"),
        ),
        lines(
            "Deadlines behind",
            "At most so many users have a fall that is due on the clock, and not yet in event time.",
            "short",
            Query(once("tierwise_deadlines_behind{SHARD}"), "{{shard}}"),
        ),
    ),
)

_NEW_AND_SILENT = Row(
    "Who comes, who goes silent?",
    (
        lines(
            "New users a second",
            "Users whom Redis did not have before, by partition.",
            "cps",
            Query(
                "sum by (shard) (rate(tierwise_users_new_total{SHARD}[$__rate_interval]))",
                "{{shard}}",
            ),
        ),
        areas(
            "Silence: rungs of $silence",
            "How many users stand on each rung of the ladder that follows silence;"
            " in the shipped policy that is `lifecycle`.",
            "short",
            Query(_rungs_of("$silence"), "{{rung}}"),
        ),
        lines(
            "Going silent and coming back",
            "Falls and rises on the ladder that follows silence, each second.",
            "cps",
            *(
                Query(
                    "sum(rate(tierwise_ladder_changes_total"
                    f'{{JOB, ladder="$silence", direction="{way}"}}[$__rate_interval]))',
                    name,
                )
                for way, name in (("down", "going silent"), ("up", "coming back"))
            ),
        ),
        lines(
            "Users in memory and at rest",
            "A worker holds the rows of those whom time can move; the others stay in Redis until they are heard of.",
            "short",
            Query(_IN_MEMORY, "in memory"),
            Query(f"{_USERS} - {_IN_MEMORY}", "at rest"),
            width=12,
        ),
        lines(
            "Memory that ran full",
            "Event ids that were forgotten before their time, orders that left a user's memory,"
            " and refunds that were cut to what was left.",
            "cps",
            *(
                Query(f"sum(rate(tierwise_{metric}_total{{JOB}}[$__rate_interval]))", name)
                for metric, name in (
                    ("duplicates_evicted", "event ids"),
                    ("orders_evicted", "orders"),
                    ("refund_excess", "refunds cut"),
                )
            ),
            width=12,
        ),
    ),
)

POPULATION = Dashboard(
    "tierwise-population",
    "Tierwise: population",
    "Who stands on which rung, who moves and why, who is new and who falls silent.",
    (_WHO, _MOVES, _NEW_AND_SILENT),
    (
        *WORKER_VARIABLES,
        Variable("ladder", "Ladder", _LADDERS, "ladder", preset="tier"),
        Variable("silence", "Ladder of silence", _LADDERS, "ladder", preset="lifecycle"),
    ),
    WORKER_ANNOTATIONS,
)
