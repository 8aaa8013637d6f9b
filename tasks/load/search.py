"""The stepped capacity search as components ask for it: its rates, its place after the load, and its figure. Pure.

The search drives a platform to its limit, which would disturb the load of other components: it starts when that has
ended, after a pause; of two components that search, the readers' goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deployments.config import Environment, RfidSettings
from deployments.load import Load, Search
from storage.records import ComponentId, Measurement, Unit, Window
from tasks.load import figures
from tasks.load.capacity import Capacity, Step
from tasks.load.http_load import search_stage
from tasks.load.recording import samples
from tasks.load.schedule import Phase, steps

PAUSE = "pause"
"""The phase without requests between a load and the search after it."""
PAUSE_S = 2.0

_FIRST_STEP = 0.4
_GROWTH = 1.5
_DRAIN_S = 0.1
_LOAD_SHARE = 0.25


@dataclass(frozen=True)
class SearchPlan:
    """Steps at growing rates (requests a second), `step_s` seconds each, with the limits that each has to keep."""

    rates: tuple[float, ...]
    step_s: float
    latency_ms: float
    error_ratio: float

    @property
    def seconds(self) -> float:
        """What it takes at most: the step that breaks runs twice."""
        return (len(self.rates) + 1) * (self.step_s + _DRAIN_S)

    @property
    def described(self) -> str:
        """For a load plan."""
        return f"{', '.join(f'{rate:g}' for rate in self.rates)}/s, {self.step_s:.1f} s each"

    def stage(self, endpoints: Sequence[int], until_s: float) -> dict[str, Any]:
        """The stage of a plan over some endpoints; no step starts that would end after `until_s` of the load."""
        return search_stage(
            self.rates,
            endpoints,
            step_s=self.step_s,
            latency_ms=self.latency_ms,
            error_ratio=self.error_ratio,
            budget_s=self.seconds,
            until_s=until_s,
        )


def search_plan(asked: Search, load: Load) -> SearchPlan:
    """The search that a load's settings ask for: from 0.4 of the target, each step 1.5 times the one before."""
    return SearchPlan(_rates(asked.target, asked.margin, load), asked.step_s, asked.p95_ms, asked.error_ratio)


def readers_search(settings: RfidSettings, load: Load) -> SearchPlan:
    """The search of the readers, in steps that are shorter where it would take more than a quarter of the load."""
    rates = _rates(settings.target_rate, settings.margin, load)
    step_s = min(settings.step_s, _LOAD_SHARE * load.duration_s / (len(rates) + 1))
    return SearchPlan(rates, step_s, settings.latency_limit_ms, settings.error_limit)


def _rates(target: float, margin: float, load: Load) -> tuple[float, ...]:
    ceiling = min(target * margin, load.max_rate)
    return tuple(steps(target, first=target * _FIRST_STEP, growth=_GROWTH, ceiling=ceiling))


def pause_before(environment: Environment, components: Sequence[ComponentId]) -> Phase:
    """The pause from the end of the load to the search of the api component: that of the readers goes before."""
    readers = ComponentId.RFID in components
    before = readers_search(environment.rfid, environment.load).seconds + PAUSE_S if readers else 0.0
    return Phase(PAUSE, 0, 0, PAUSE_S + before)


def without_search(table: pa.Table) -> pa.Table:
    """The rows of a load without those of the search after it, which overloads its target on purpose."""
    return table.filter(pc.invert(pc.starts_with(pc.cast(table.column("phase"), pa.string()), "step:")))


# --- its figure ---


def capacity_measurement(
    metric: str, search: Capacity, table: pa.Table, target: float, *, source: str
) -> Measurement:
    """What the highest sustained step achieved, a second; where none was, what the first one did.

    Without a good answer there is no value. `table` holds the rows, `target` is the rate that is needed.
    """
    step = search.best or search.broken
    known = step is not None and step.good > 0
    return Measurement(
        metric=metric,
        value=step.achieved if step is not None and known else None,
        unit=Unit.PER_SECOND,
        n=0 if step is None else step.sent,
        source=source,
        window=None if step is None else _window(step),
        note=capacity_note(search, target) if known else _why_none(table, step),
    )


def _why_none(table: pa.Table, step: Step | None) -> str:
    if step is not None:
        return figures.no_data(samples.of_phase(table, step.phase))
    return f"no data: the search did not run ({figures.no_data(table)})"


def _window(step: Step) -> Window:
    return Window(
        start=datetime.fromtimestamp(step.start_ns / 1e9, UTC),
        end=datetime.fromtimestamp(max(step.start_ns, step.end_ns) / 1e9, UTC),
    )


def capacity_note(search: Capacity, target: float) -> str:
    """What the figure of a search means: where it ended and why, and whether it is only a lower bound."""
    broken = search.broken
    if broken is not None and broken.generator_limited:
        ended = f"a lower bound: at {broken.rate:g}/s the load generator itself was the limit ({broken.why})"
    elif broken is not None:
        ended = f"{broken.rate:g}/s broke{' twice' if broken.attempt > 1 else ''}: {broken.why}"
    elif search.ended == "ceiling" and search.best is not None and search.best.rate < target:
        ended = f"a lower bound: the search stopped at max_rate, below the target of {target:g}/s"
    elif search.ended == "ceiling":
        ended = "a lower bound: every step was sustained"
    else:
        ended = f"a lower bound: the search ended early ({search.ended}) after {search.tried} steps"
    if search.best is None:
        return f"no step was sustained; what the first one achieved is reported; {ended}"
    return f"sustained at {search.best.rate:g}/s; {ended}"


def described(steps_made: Sequence[Step], ended: str | None) -> dict[str, str]:
    """From when to when a search ran and how it ended, for a load plan."""
    told = {}
    if steps_made:
        told = {"search_start": _clock(steps_made[0].start_ns), "search_end": _clock(steps_made[-1].end_ns)}
    return told | ({} if ended is None else {"search_ended": ended})


def _clock(utc_ns: int) -> str:
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="milliseconds")
