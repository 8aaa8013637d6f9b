"""History as people and programs read it in a terminal: tables with sparklines, and JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from storage.history_records import Series
from storage.records import Unit
from tasks.judge.detect import FEWEST, ChangePoint
from tasks.report.figures import figure
from tasks.report.text import ascii_text, one_line, shorten

MOST_SERIES = 40
"""How many series are listed, the component's own figure first."""

MOST_TOLD = 6
"""How many runs that are left out, and how many notes, are written."""

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_GAP = "·"
_WIDEST = 60


def sparkline(values: Sequence[float], *, width: int = _WIDEST, ascii_only: bool = False) -> str:
    """The newest `width` values as bars between the least and the greatest; a run without a value is a dot."""
    shown = np.array(values[-width:], np.float64)
    known = shown[np.isfinite(shown)]
    if not len(known):
        return _GAP * len(shown)
    bars = _ASCII_BARS if ascii_only else _BARS
    low, high = float(known.min()), float(known.max())
    span = high - low
    at = [(value - low) / span if span > 0 else 0.5 for value in shown]
    dot = " " if ascii_only else _GAP
    return "".join(dot if math.isnan(share) else bars[min(int(share * len(bars)), len(bars) - 1)] for share in at)


def history_lines(
    found: Sequence[tuple[Series, Sequence[ChangePoint]]],
    left_out: Mapping[str, str],
    notes: Sequence[str],
    *,
    last: int = 20,
    width: int = 100,
    ascii_only: bool = False,
) -> list[str]:
    """One series as a table of its runs, several as one line each; then what is left out, and why."""
    if len(found) == 1:
        lines = _table(*found[0], last=last, width=width, ascii_only=ascii_only)
    else:
        lines = [line for one, changes in found[:MOST_SERIES] for line in _summary(one, changes, width, ascii_only)]
        if len(found) > MOST_SERIES:
            lines.append(f"{len(found) - MOST_SERIES} more series: narrow them with --label NAME=VALUE")
    lines += _first([f"left out  {one_line(f'{name}: {why}')}" for name, why in sorted(left_out.items())])
    lines += _first([f"note      {one_line(note)}" for note in notes])
    return [ascii_text(line) if ascii_only else line for line in lines]


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_TOLD
    return [*lines[:MOST_TOLD], f"          and {more} more: --json names all"] if more > 0 else lines


def _title(series: Series, width: int) -> str:
    labels = ", ".join(f"{key} {value}" for key, value in series.labels.items())
    return shorten(f"{series.metric} {labels}".strip(), width)


def _summary(series: Series, changes: Sequence[ChangePoint], width: int, ascii_only: bool) -> list[str]:  # noqa: FBT001
    known = series.values[np.isfinite(series.values)]
    newest = figure(float(known[-1]), series.unit) if len(known) else "not measured"
    bars = sparkline(series.values.tolist(), width=min(_WIDEST, width - 30), ascii_only=ascii_only)
    told = _change(series, changes[-1]) if changes else ""
    return [_title(series, width), f"  {bars}  {newest}, {_runs(len(known))}{f'; {told}' if told else ''}"]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _table(series: Series, changes: Sequence[ChangePoint], *, last: int, width: int, ascii_only: bool) -> list[str]:
    count = int(np.isfinite(series.values).sum())
    lines = [
        f"{_title(series, width)}: {count} of {len(series.values)} runs have a value",
        sparkline(series.values.tolist(), width=min(width, 120), ascii_only=ascii_only),
        "",
        f"{'run':24}  {'started (UTC)':16}  {'release':12}  {'value':>12}  {'95 % interval':>22}  {'n':>9}",
    ]
    at = {change.index: change for change in changes}
    for place in range(max(len(series.runs) - last, 0), len(series.runs)):
        run, value = series.runs[place], float(series.values[place])
        if place in at:
            lines.append(f"-- {_change(series, at[place])}")
        known = math.isfinite(value)
        told = figure(value, series.unit) if known else "not measured"
        interval = _interval(float(series.low[place]), float(series.high[place]), series.unit)
        why = "" if known else f"  {shorten(series.notes[place], 60)}"
        row = f"{run.run:24}  {run.started:%Y-%m-%d %H:%M}  {shorten(run.release or '', 12):12}  {told:>12}"
        lines.append(f"{row}  {interval:>22}  {series.n[place]:>9,}{why}".rstrip())
    if count < FEWEST:
        lines.append(f"Too few runs to tell changes: {count} of the {FEWEST} that are needed")
    elif not changes:
        lines.append("No change of level")
    return lines


def _interval(low: float, high: float, unit: Unit) -> str:
    return f"{figure(low, unit)} to {figure(high, unit)}" if math.isfinite(low) and math.isfinite(high) else ""


def _change(series: Series, change: ChangePoint) -> str:
    """A change of level in words."""
    run = series.runs[change.index]
    size = _relative(series, change)
    levels = f"{figure(change.before, series.unit)} → {figure(change.after, series.unit)}"
    return f"{change.status}: {levels}{size} from {run.run} on, {change.runs} runs"


def _relative(series: Series, change: ChangePoint) -> str:
    if float(np.nanmin(series.values)) <= 0:
        return ""
    low, high = change.interval
    return f" ({change.effect * 100:+.1f} %, {low * 100:+.1f} to {high * 100:+.1f} %)"


def history_json(
    environment: str,
    found: Sequence[tuple[Series, Sequence[ChangePoint]]],
    left_out: Mapping[str, str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """All of it for a program; a value that is null was not measured, and `note` says why."""
    return {
        "environment": environment,
        "series": [_series_json(series, changes) for series, changes in found],
        "left_out": dict(sorted(left_out.items())),
        "notes": list(notes),
    }


def _series_json(series: Series, changes: Sequence[ChangePoint]) -> dict[str, Any]:
    points = [
        {
            "run": run.run,
            "started": run.started.isoformat(),
            "release": run.release,
            "commit": run.commit,
            "value": _known(series.values[at]),
            "interval": [_known(series.low[at]), _known(series.high[at])] if math.isfinite(series.low[at]) else None,
            "n": int(series.n[at]),
            "note": series.notes[at],
        }
        for at, run in enumerate(series.runs)
    ]
    told = [
        {
            "run": series.runs[change.index].run,
            "index": change.index,
            "direction": change.direction,
            "status": change.status,
            "confidence": change.confidence,
            "before": change.before,
            "after": change.after,
            "effect": change.effect,
            "interval": list(change.interval),
            "runs": change.runs,
        }
        for change in changes
    ]
    labels = dict(series.labels)
    return {"metric": series.metric, "labels": labels, "unit": series.unit.value, "points": points, "changes": told}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
