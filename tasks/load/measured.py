"""Percentiles of any load as measurements, and the generator's verdict beside them. Pure; shared by components."""

from __future__ import annotations

from collections.abc import Mapping

from storage.records import LoadSummary, Measurement, Trust, Unit, Window
from tasks.load.recording.samples import Floats, percentile, percentile_interval


def percentile_of(
    metric: str,
    values: Floats,
    q: float,
    *,
    source: str,
    window: Window,
    why_none: str,
    note: str = "",
    labels: Mapping[str, str] | None = None,
) -> Measurement:
    """The percentile q of values in ms with its interval; `why_none` is the note where there are no values."""
    value = percentile(values, q)
    return Measurement(
        metric=metric,
        value=value,
        unit=Unit.MS,
        n=len(values),
        source=source,
        window=window,
        interval=percentile_interval(values, q),
        labels=labels or {},
        note=why_none if value is None else note,
    )


def trust_note(load: LoadSummary | None) -> str:
    """What stands beside every figure of a generator that does not trust itself; empty where it does."""
    if load is None or load.trust is not Trust.NOT_TRUSTED:
        return ""
    return f"not trusted: {load.reasons[0]}"
