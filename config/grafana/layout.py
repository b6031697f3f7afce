"""From a described dashboard to the JSON that Grafana reads, schema version 39. This file places the panels."""

import re
from collections.abc import Iterator
from typing import Any

from config.grafana.panels import WHOLE_WIDTH, Annotation, Dashboard, Panel, Query, Row, Step, Variable

Json = dict[str, Any]
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
JOB = 'job="$job"'
SHARD = f'{JOB}, shard=~"$partition"'
BESIDE = 'job=~"$jobs"'
ENDPOINT = f'{BESIDE}, endpoint=~"$endpoint"'
WRITTEN_OUT = {"SHARD": SHARD, "JOB": JOB, "BESIDE": BESIDE, "ENDPOINT": ENDPOINT}
TAG = "tierwise"
REFRESH = "30s"


def dashboard_json(dashboard: Dashboard) -> Json:
    """Answer the whole document."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": REFRESH,
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [_links()],
        "annotations": {"list": [_annotation(one) for one in dashboard.annotations]},
        "templating": {"list": [_datasource(), *(_variable(one) for one in dashboard.variables)]},
        "panels": [
            panel | {"id": number} for number, panel in enumerate(_placed(dashboard.rows), 1)
        ],
    }  # fmt: skip


def _placed(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Fill lines from left to right; a heading and whatever does not fit begins a new one."""
    y = 0
    for row in rows:
        yield {
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, y, 24, 1),
        }
        y, x, line_height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WHOLE_WIDTH:
                y, x, line_height = y + line_height, 0, 0
            yield _panel(panel) | {"gridPos": _at(x, y, panel.width, panel.height)}
            x, line_height = x + panel.width, max(line_height, panel.height)
        y += line_height


def _at(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> Json:
    document = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [_target(panel, query, "ABCDEFGH"[index]) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }
    if panel.rows:
        matrix = {"rowField": panel.rows, "columnField": panel.columns, "valueField": "Value"}
        document["transformations"] = [{"id": "groupingToMatrix", "options": matrix}]
    return document


def _target(panel: Panel, query: Query, ref_id: str) -> Json:
    newest_only = panel.kind in ("stat", "table")
    formats = {"table": "table", "heatmap": "heatmap"}
    return {
        "refId": ref_id,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": _written_out(query.expr),
        "legendFormat": query.legend,
        "instant": newest_only,
        "range": not newest_only,
        "format": formats.get(panel.kind, "time_series"),
    }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": [_step(one) for one in panel.steps]},
    }
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 40 if panel.stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
        }
    return defaults


def _step(step: Step) -> Json:
    value, colour = step
    return {"value": value, "color": colour}


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "value"}
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "yAxis": {"unit": panel.unit},
            "cellValues": {"unit": "short"},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "legend": {"show": True},
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "refresh": 1,
        "multi": False,
        "includeAll": False,
    }


def _variable(variable: Variable) -> Json:
    expr = f"label_values({_written_out(variable.metric)}, {variable.of_label})"
    current = {"text": variable.preset, "value": variable.preset} if variable.preset else {}
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": expr,
        "query": {"query": expr, "refId": f"variable-{variable.name}", "qryType": 1},
        "current": {"text": "All", "value": "$__all"} if variable.several else current,
        "multi": variable.several,
        "includeAll": variable.several,
        "allValue": ".*" if variable.several else None,
        "refresh": 2,
        "sort": 3 if variable.of_label == "shard" else 1,
        "hide": 0,
    }


def _annotation(annotation: Annotation) -> Json:
    return {
        "name": annotation.name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": annotation.colour,
        "expr": _written_out(annotation.expr),
        "step": "",
        "titleFormat": annotation.title,
        "textFormat": annotation.text,
        "tagKeys": annotation.tags,
        "useValueForTime": annotation.value_is_time,
    }


def _links() -> Json:
    return {
        "type": "dashboards",
        "title": "Tierwise",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "url": "",
        "tooltip": "",
    }


def _written_out(expr: str) -> str:
    return re.sub(r"\{([A-Z]+)", lambda found: "{" + WRITTEN_OUT[found[1]], expr)
