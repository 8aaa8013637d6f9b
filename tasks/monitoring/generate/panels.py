"""Panels of Grafana dashboards as plain JSON (schema of Grafana 10 and newer), laid out row by row. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'environment="$environment"'
"""Matcher of the environment that is chosen above the dashboard."""

_GOOD, _POOR = "green", "red"

Kind = Literal["stat", "timeseries", "state-timeline", "table"]


@dataclass(frozen=True)
class Steps:
    """Colours by value, from the lowest on: (from, colour), the first from −∞."""

    steps: tuple[tuple[float | None, str], ...] = ((None, "text"),)

    def json(self) -> dict[str, Any]:
        """As Grafana has it."""
        return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in self.steps]}


@dataclass(frozen=True)
class Panel:
    """One panel: what it asks, and how it shows the answer; `queries` are (expression, legend)."""

    title: str
    queries: Sequence[tuple[str, str]]
    kind: Kind = "timeseries"
    description: str = ""
    unit: str = "none"
    width: int = 8
    height: int = 7
    steps: Steps = field(default_factory=Steps)
    most: float | None = None
    mappings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    instant: bool = False


def switch(on: str, off: str) -> dict[str, tuple[str, str]]:
    """What 1 and 0 are called, and their colours."""
    return {"1": (on, _GOOD), "0": (off, _POOR)}


def dashboard(uid: str, title: str, description: str, rows: Iterable[tuple[str, Iterable[Panel]]]) -> dict[str, Any]:
    """A dashboard of titled rows, each of panels beside each other on a grid of 24 columns."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["hasivu-perf"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "links": [],
        "panels": _laid_out(rows),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
        {
            "name": "environment",
            "label": "Environment",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(hasivu_watch, environment)",
            "refresh": 2,
            "sort": 1,
            "hide": 0,
        },
    ]


def _alerts() -> dict[str, Any]:
    """Marks where an alert began: `hasivu_alert_firing` is the watch's own view, without Prometheus' rules."""
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": _POOR,
        "expr": f"max by (alert, severity) (hasivu_alert_firing{{{HERE}}}) == 1",
    }


def _laid_out(rows: Iterable[tuple[str, Iterable[Panel]]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in rows:
        found.append(_row(len(found) + 1, title, y))
        y += 1
        x = height = 0
        for panel in panels:
            if x + panel.width > 24:  # noqa: PLR2004 - columns of the grid
                x, y, height = 0, y + height, 0
            found.append(_panel(len(found) + 1, panel, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return found


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        "panels": [],
    }


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "transparent": False,
        "datasource": SOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "targets": [_target(at, query, legend, panel) for at, (query, legend) in enumerate(panel.queries)],
        "transformations": [],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(number: int, query: str, legend: str, panel: Panel) -> dict[str, Any]:
    instant = panel.instant or panel.kind in ("stat", "table")
    form = {"format": "table"} if panel.kind == "table" else {}
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": query,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        **form,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": "not measured",
        "color": {"mode": "thresholds" if panel.kind != "timeseries" else "palette-classic"},
        "thresholds": panel.steps.json(),
        "mappings": [],
    }
    if panel.unit == "percentunit":
        found |= {"min": 0, "max": 1} if panel.most is None else {"min": 0, "max": panel.most}
    if panel.mappings:
        options = {
            value: {"text": text, "color": colour, "index": at}
            for at, (value, (text, colour)) in enumerate(panel.mappings.items())
        }
        found["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        limits = "line" if len(panel.steps.steps) > 1 else "off"
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 5,
            "spanNulls": False,
            "thresholdsStyle": {"mode": limits},
        }
    return found


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "background",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
            }
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "state-timeline":
            return {
                "showValue": "never",
                "rowHeight": 0.9,
                "mergeValues": True,
                "alignValue": "left",
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case "table":
            return {"showHeader": True, "frameIndex": 0}
