"""Queries and panels that both dashboards use: names from `names`, bands from thresholds.toml. Pure."""

from __future__ import annotations

import json

from storage.records import Direction, Threshold, Unit
from tasks.monitoring.generate.panels import HERE, Panel, Steps
from tasks.monitoring.watch import names

RATE = "[$__rate_interval]"
OK = 'outcome="ok"'

_UNITS = {Unit.MS: "s", Unit.RATIO: "percentunit", Unit.PER_SECOND: "ops", Unit.BYTES: "bytes", Unit.SCORE: "none"}


def as_json(content: object) -> str:
    """A dashboard as a file holds it."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def of(family: names.Family, *matchers: str) -> str:
    """The series of a family in the chosen environment."""
    end = "_total" if family.kind == "counter" else ""
    return f"{family.name}{end}{{{', '.join([HERE, *matchers])}}}"


def rate(family: names.Family, by: str, *matchers: str) -> str:
    """How fast a counter grows, summed by a label."""
    return f"sum by ({by}) (rate({of(family, *matchers)}{RATE}))"


def metric_panel(threshold: Threshold, *, kind: str = "timeseries", width: int = 8, height: int = 7) -> Panel:
    """A panel of one metric of the thresholds, with its bands."""
    return Panel(
        threshold.title,
        [(f"{names.name_of(threshold)}{{{HERE}}}", threshold.title)],
        kind="stat" if kind == "stat" else "timeseries",
        description=f"Good {threshold.good:g}, fair {threshold.fair:g} ({threshold.unit.value}): {threshold.source}.",
        unit=unit_of(threshold.unit),
        width=width,
        height=height,
        steps=steps_of(threshold),
    )


def unit_of(unit: Unit) -> str:
    """Grafana's name of a unit, of the value as it is exported."""
    return _UNITS.get(unit, "none")


def steps_of(threshold: Threshold) -> Steps:
    """The bands good, fair and poor of a threshold, in the unit in which it is exported."""
    good, fair = (names.exported_value(value, threshold.unit) for value in (threshold.good, threshold.fair))
    if threshold.direction is Direction.LOWER:
        return Steps(((None, "green"), (good, "yellow"), (fair, "red")))
    return Steps(((None, "red"), (fair, "yellow"), (good, "green")))
