#!/usr/bin/python3
"""Prints the Grafana dashboard (version 9 or later) for a source file. The default source is
platform-overview.yaml in this directory, which also describes the format:

    deploy/grafana/generate.py >deploy/grafana/platform-overview.json

The thresholds and runbooks come from the alert rules in ../prometheus, so a panel always agrees
with its alert.
"""

from __future__ import annotations

import json
import re
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULE_FILES = [HERE.parent / "prometheus" / name for name in ("documented.yaml", "vitalsd.yaml")]
RULE_FILES.append(HERE.parent / "kubernetes" / "chart" / "files" / "absent.yaml")

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA = 37  # of Grafana 9; later versions migrate it when they load it
COLUMNS = 24
COLORS = {"critical": "red", "warning": "yellow", "info": "yellow"}  # most severe first
COMPARISON = re.compile(r" (==|<|>) ([0-9.]+)(?: \* ([0-9.]+))?(?= |$)", re.MULTILINE)

# By default Grafana shows a missing value in the colour of the lowest threshold, which may be
# green.
UNKNOWN = {
    "type": "special",
    "options": {"match": "null+nan", "result": {"text": "unknown", "color": "purple"}},
}

Panel = dict[str, Any]


@dataclass(frozen=True)
class Limit:
    """A threshold of a panel: the colour applies below the value, or from the value upwards."""

    value: float
    below: bool
    color: str


class Rules:
    """The alert rules by name. A name can have several rules."""

    def __init__(self) -> None:
        self._rules: dict[str, list[dict[str, Any]]] = {}
        for file in RULE_FILES:
            for group in yaml.safe_load(file.read_text())["groups"]:
                for rule in group["rules"]:
                    self._rules.setdefault(rule["alert"], []).append(rule)

    def runbook(self, name: str) -> str:
        return self._rules[name][0]["annotations"]["runbook_url"]

    @property
    def runbooks(self) -> str:
        """The common prefix of the addresses of all runbooks."""
        return self.runbook("VitalsdDown").rpartition("/")[0]

    def limit(self, name: str, divisor: float = 1) -> Limit:
        """The number in the rule's comparison: `< 0.2`, `> 86400`, and `== 0` for states."""
        compared = {COMPARISON.search(rule["expr"]).groups() for rule in self._rules[name]}
        [(operator, number, times)] = compared  # rules of one name have the same limit
        value = float(number) * float(times or 1) / divisor
        severities = {rule["labels"]["severity"] for rule in self._rules[name]}
        color = next(color for each, color in COLORS.items() if each in severities)
        if operator == "==" and value == 0:
            return Limit(1, True, color)
        return Limit(value, operator == "<", color)


def limits(panel: Panel, rules: Rules) -> list[Limit]:
    found = []
    for alert in panel.get("alerts", []):
        name, _, divisor = alert.partition(" / ")
        found.append(rules.limit(name, float(divisor or 1)))
    for key in ("above", "below"):
        for value, color in panel.get(key, {}).items():
            found.append(Limit(value, key == "below", color))
    assert len({limit.below for limit in found}) <= 1, f"{panel['title']}: above and below"
    return sorted(set(found), key=lambda limit: limit.value)


def thresholds(limits: list[Limit], healthy: str) -> dict[str, Any]:
    colors = [limit.color for limit in limits]
    colors = [*colors, healthy] if limits and limits[0].below else [healthy, *colors]
    values = [None, *(limit.value for limit in limits)]
    steps = [{"color": c, "value": v} for c, v in zip(colors, values, strict=True)]
    return {"mode": "absolute", "steps": steps}


def links(panel: Panel, rules: Rules) -> list[dict[str, Any]]:
    names = [name.partition(" / ")[0] for name in panel.get("alerts", [])]
    return [
        {"title": f"Runbook: {name}", "url": rules.runbook(name), "targetBlank": True}
        for name in [*names, *panel.get("runbooks", [])]
    ]


# ---- kinds of panels: settings that differ between kinds ------------------------------------------


def look(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a kind, and its fieldConfig.defaults.custom."""
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    match kind:
        case "stat":
            return {
                "colorMode": "background",
                "graphMode": "none",
                "justifyMode": "center",
                "orientation": "auto",
                "reduceOptions": last,
                "textMode": "value",
            }, {}
        case "bargauge":
            return {
                "displayMode": "basic",
                "orientation": "horizontal",
                "reduceOptions": last,
                "showUnfilled": True,
                "minVizHeight": 10,
                "minVizWidth": 0,
            }, {}
        case "timeseries":
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}, {
                "drawStyle": "line",
                "fillOpacity": 0,
                "lineWidth": 1,
                "showPoints": "never",
                "spanNulls": False,
                "thresholdsStyle": {"mode": "area"},
            }
        case "state-timeline":
            return {
                "alignValue": "left",
                "legend": {**legend, "showLegend": False},
                "mergeValues": True,
                "rowHeight": 0.8,
                "showValue": "auto",
                "tooltip": {"mode": "single", "sort": "none"},
            }, {"fillOpacity": 70, "lineWidth": 0}
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}, {"align": "auto"}
    raise ValueError(f"unknown kind of panel: {kind}")


def columns(panel: Panel, rules: Rules) -> dict[str, Any]:
    """The columns of a table: its labels, then the value if `value_column` names it."""
    value = panel.get("value_column")
    hidden = {"Time": True} if value else {"Time": True, "Value": True}
    renamed = {"Value": value} if value else {}
    organize = {"excludeByName": hidden, "indexByName": {}, "renameByName": renamed}
    made: dict[str, Any] = {"transformations": [{"id": "organize", "options": organize}]}
    if column := panel.get("runbook_column"):
        link = {
            "title": "Runbook",
            "url": f"{rules.runbooks}/${{__value.raw}}.md",
            "targetBlank": True,
        }
        made["overrides"] = [
            {
                "matcher": {"id": "byName", "options": column},
                "properties": [{"id": "links", "value": [link]}],
            }
        ]
    return made


# ---- the dashboard ------------------------------------------------------------------------------


def target(kind: str, number: int, legend: str, expression: str) -> dict[str, Any]:
    instant = kind in ("stat", "bargauge", "table")
    return {
        "refId": string.ascii_uppercase[number],
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if kind == "table" else "time_series",
    }


def make_panel(panel: Panel, rules: Rules) -> dict[str, Any]:
    kind = panel["kind"]
    options, custom = look(kind)
    table = columns(panel, rules) if kind == "table" else {}
    found = limits(panel, rules)
    line = kind == "timeseries"
    words = {str(value): {"text": text} for value, text in panel.get("words", {}).items()}
    mappings = [{"type": "value", "options": words}] if words else []
    if kind in ("stat", "bargauge"):
        mappings.append(UNKNOWN)
    defaults = {
        "color": {"mode": "palette-classic" if line else "thresholds"},
        "custom": custom,
        "mappings": mappings,
        "thresholds": thresholds(found, "transparent" if line or kind == "table" else "green"),
        "unit": panel.get("unit", "none" if kind == "stat" else "short"),
    }
    if kind in ("bargauge", "timeseries"):
        defaults["min"] = 0
    defaults |= {key: panel[key] for key in ("decimals", "max") if key in panel}
    return {
        "title": panel["title"],
        "description": panel.get("about", ""),
        "type": kind,
        "datasource": DATASOURCE,
        "links": links(panel, rules),
        "fieldConfig": {"defaults": defaults, "overrides": table.pop("overrides", [])},
        "options": options,
        "targets": [
            target(kind, number, legend, expression)
            for number, (legend, expression) in enumerate(panel["queries"].items())
        ],
        **table,
    }


def lay_out(rows: list[dict[str, Any]], rules: Rules) -> Iterator[dict[str, Any]]:
    """Places the rows below each other and the panels of a row next to each other."""
    y = 0
    for row in rows:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {
            "title": row["title"],
            "type": "row",
            "collapsed": False,
            "panels": [],
            "gridPos": place,
        }
        y += 1
        x = 0
        for panel in row["panels"]:
            place = {"h": row["height"], "w": panel["width"], "x": x, "y": y}
            yield make_panel(panel, rules) | {"gridPos": place}
            x += panel["width"]
        assert x == COLUMNS, f"the row {row['title']} has the width {x}, not {COLUMNS}"
        y += row["height"]


def variables(source: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    common = {"hide": 0, "includeAll": False, "multi": False, "options": [], "skipUrlSync": False}
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "refresh": 1,
        "regex": "",
        **common,
    }
    for variable in source.get("variables", []):
        query, default = variable["query"], variable["default"]
        yield {
            "name": variable["name"],
            "type": "query",
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": "StandardVariableQuery"},
            "current": {"selected": True, "text": default, "value": default},
            "refresh": 2,  # on each change of the time range
            "regex": "",
            "sort": 1,
            **common,
        }


def dashboard(source: Mapping[str, Any]) -> dict[str, Any]:
    panels = lay_out(source["rows"], Rules())
    return {
        "id": None,
        "uid": source["uid"],
        "title": source["title"],
        "tags": source["tags"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # shared crosshair
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": list(variables(source))},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "platform-overview.yaml"
    print(json.dumps(dashboard(yaml.safe_load(file.read_text())), indent=2))


if __name__ == "__main__":
    main()
