"""Whether what a run holds was measured in that run: a file of an earlier one is no evidence for today.

Load is sent while the run lasts, so its window begins after the run did. What is read from logs and metrics speaks of
days before, and ends at a full minute or hour before the run: it must end close to the run's start.
"""

from __future__ import annotations

from datetime import timedelta

from storage.records import ComponentResult, FailedComponent, Measurement, RunInfo

CLOCKS = timedelta(seconds=60)
"""How far apart the clocks of two machines of a run may be."""
LOGS = timedelta(hours=2)
"""How long before a run its window of logs may end."""


def fresh(info: RunInfo, result: ComponentResult) -> ComponentResult:
    """The result, or a failed one that says why it is stale.

    A component's own figure whose window ended too early loses its value.
    """
    if result.status != "measured":
        return result
    window = result.collected.window
    loaded = result.collected.load is not None
    since = info.started - (CLOCKS if loaded else LOGS)
    moment, what = (window.start, "begins") if loaded else (window.end, "ends")
    if moment < since:
        why = f"stale: its window {what} {moment:%Y-%m-%d %H:%M:%S}, the run began {info.started:%Y-%m-%d %H:%M:%S}"
        return FailedComponent(component=result.component, error=f"{why} UTC", attempt=result.attempt)
    measurements = tuple(_fresh(info, one) for one in result.measurements)
    if measurements == result.measurements:
        return result
    return result.model_copy(update={"measurements": measurements})


def _fresh(info: RunInfo, one: Measurement) -> Measurement:
    if one.labels or one.window is None or one.value is None or one.window.end >= info.started - LOGS:
        return one
    note = f"stale: measured until {one.window.end:%Y-%m-%d %H:%M:%S} UTC, before the run"
    return one.model_copy(update={"value": None, "interval": None, "note": note})
