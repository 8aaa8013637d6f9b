"""Runs on disk as history finds them, made without measuring anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.parquet import Store
from storage.records import Attempt, Collected, ComponentId, Measurement, RunInfo, Unit, Window
from storage.runs import RunFolder

START = datetime(2026, 1, 5, 20, 0, tzinfo=UTC)
"""A Monday."""
SETTINGS = {"users": "50", "duration_s": "300", "ramp_up_s": "60", "pace_s": "1"}


def moment(number: int) -> datetime:
    """When run `number` started: one each night."""
    return START + timedelta(days=number)


def name(number: int) -> str:
    """Name of run `number`."""
    return f"{moment(number):%Y%m%dT%H%M%SZ}-{number:06x}"


def figure(metric: str, value: float | None, number: int = 0, **more: Any) -> Measurement:
    """A measurement of run `number`, with evidence where it has a value."""
    window = Window(start=moment(number), end=moment(number) + timedelta(seconds=300))
    fields: dict[str, Any] = {
        "metric": metric,
        "value": value,
        "unit": Unit.RATIO if metric.endswith("ratio") else Unit.MS,
        "n": 0 if value is None else 15_000,
        "source": "a test's own figure",
        "window": None if value is None else window,
        "note": "nothing answered" if value is None else "",
    }
    return Measurement.model_validate(fields | more)


def info(number: int, **more: Any) -> RunInfo:
    """Which run it is."""
    fields: dict[str, Any] = {
        "run": name(number),
        "environment": "staging",
        "profile": "staging",
        "started": moment(number),
        "release": f"v{number // 10}",
        "commit": f"{number:040x}",
        "code_version": "test",
        "settings": SETTINGS,
    }
    return RunInfo.model_validate(fields | more)


def measure(folder: RunFolder, number: int, figures: list[Measurement], attempt: int = 1) -> None:
    """Store figures as what was measured, component by component."""
    window = Window(start=moment(number), end=moment(number) + timedelta(seconds=300))
    for component in ComponentId:
        mine = [one for one in figures if one.component == component.value]
        if mine:
            files = folder.component(component)
            files.begin()
            files.finish(Collected(window=window), mine, [], attempt=attempt, code_version="test")


def judged(folder: RunFolder, number: int, verdict: str = "pass", attempt: int = 1, **score: Any) -> None:
    """Say that the run was judged, by the part of a report that history reads."""
    at = moment(number)
    folder.write_attempt(Attempt(number=attempt, opened=at, judged=at + timedelta(minutes=10)))
    told = {"value": 91.0, "grade": "A", "coverage": 1.0} | score
    report = {"gate": {"verdict": verdict}, "score": told, "components": []}
    folder.store.write_json(folder.orchestration("report.json"), report)


def made(
    store: Store,
    number: int,
    values: Mapping[str, float | None] | None = None,
    figures: list[Measurement] | None = None,
    verdict: str = "pass",
    **more: Any,
) -> RunFolder:
    """A whole run: opened, measured and judged."""
    about = info(number, **more)
    folder = RunFolder(store, about.environment, about.run)
    folder.create(about, {})
    wanted = {"api.latency.p95": 100.0 + number} if values is None else values
    measure(folder, number, figures or [figure(metric, value, number) for metric, value in wanted.items()])
    judged(folder, number, verdict)
    return folder
