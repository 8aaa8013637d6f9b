"""Whether a function needs environments that stand ready, how many, when, and what that costs. Pure.

Every way to fewer cold starts is priced for a month of the measured arrivals and held against doing nothing:
provisioned concurrency around the clock or by schedule, SnapStart, another memory size, and pings that keep an
environment warm.
"None needed" is an answer: most functions meet their limit on demand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.components.lambda_functions.cost import MB_PER_GB, Prices, duration_cost
from tasks.components.lambda_functions.erlang import KEEP_ALIVE_S, MINUTE_S, PER_ENVIRONMENT, Floats, Flow, flow

Counts = npt.NDArray[np.int64]

MOST_COLD = 0.001
"""Share of cold starts that is good enough, where the caller names none."""

_HOUR = 60
_DAY = 24
_BUSY_DAY = 0.25
_BUSY_HOUR = 0.10


@dataclass(frozen=True, slots=True)
class SnapStart:
    """What SnapStart does to a function: `restore_ms` instead of its init; prices per GB, 0 for Java."""

    restore_ms: float
    cache_gb_s: float = 1.5046e-6
    restore_gb: float = 1.398e-4


@dataclass(frozen=True, slots=True)
class Size:
    """The function at another memory size, as measured or predicted."""

    memory_mb: int
    duration_ms: float
    init_ms: float


@dataclass(frozen=True, slots=True)
class Option:
    """One way, for a month.

    `environments` stand ready in `hours` of the week's or day's hours that were given, `least` in all others;
    `dollars` is all of the function's cost, `extra` what it is above doing nothing; `cold_starts` a month and their
    share of all requests; `spill` is the share of requests that find no ready environment; `per_avoided` is extra
    dollars ÷ cold starts avoided (None where none is avoided).
    """

    name: str
    dollars: float
    extra: float
    cold_starts: float
    cold_share: float
    spill: float
    environments: int = 0
    hours: tuple[int, ...] = ()
    least: int = 0
    per_avoided: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ConcurrencyPlan:
    """The option to take, and all that were priced, cheapest per cold start avoided first.

    `needed` is False where doing nothing meets `target`. `break_even` is the utilisation above which provisioned
    concurrency costs less than paying on demand. `peak` is the largest number of environments busy at once that the
    arrivals ask for in a minute (99.9 % of the time).
    """

    needed: bool
    verdict: str
    chosen: Option
    options: tuple[Option, ...]
    target: float
    break_even: float
    peak: int
    risks: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Case:
    """A function's month: requests in each minute of a period that repeats."""

    minutes: Floats
    duration_s: float
    init_s: float
    memory_gb: float
    prices: Prices
    keep_alive_s: float

    @property
    def scale(self) -> float:
        """Periods in a month."""
        return self.prices.month_s / (len(self.minutes) * MINUTE_S)


def plan(
    arrivals: float | Sequence[float],
    duration: float,
    init: float,
    memory_mb: int,
    prices: Prices,
    *,
    most_cold: float = MOST_COLD,
    keep_alive_s: float = KEEP_ALIVE_S,
    snapstart: SnapStart | None = None,
    size: Size | None = None,
    reserved: int | None = None,
    account_limit: int | None = None,
) -> ConcurrencyPlan:
    """Choose for one function.

    `arrivals` is a steady rate in requests a second, or the requests in each minute of a period that repeats (a day
    or a week, beginning at midnight): hourly means hide the bell that rings, so give minutes. `duration` is the
    typical warm duration and `init` the typical init, both in ms. `snapstart` and `size` are priced where they are
    given. `reserved` and `account_limit` are limits of concurrency that the plan warns of.
    Raises ValueError for arrivals below 0, or a duration or memory that is not above 0.
    """
    minutes = _minutes(arrivals)
    if not (0 < duration < math.inf and 0 <= init < math.inf and memory_mb > 0):
        raise ValueError("duration and memory must be above 0, init at least 0")
    case = _Case(minutes, duration / 1e3, init / 1e3, memory_mb / MB_PER_GB, prices, keep_alive_s)
    nothing = _on_demand(case, "do nothing")
    options = [nothing]
    if nothing.cold_starts > 0:
        options += [*_provisioned(case, most_cold), _warmed(case)]
    if snapstart is not None:
        options.append(_snapstart(case, snapstart))
    if size is not None:
        other = _Case(
            minutes, size.duration_ms / 1e3, size.init_ms / 1e3, size.memory_mb / MB_PER_GB, prices, keep_alive_s
        )
        options.append(_on_demand(other, f"{size.memory_mb} MB"))
    options = [_against(option, nothing) for option in options]
    good = [option for option in options if option.cold_share <= most_cold]
    needed = nothing.cold_share > most_cold
    chosen = (
        options[0] if not needed else min(good or options, key=lambda one: one.dollars if good else one.cold_share)
    )
    peak = _peak(case)
    return ConcurrencyPlan(
        needed=needed,
        verdict=_verdict(chosen, nothing, most_cold, met=bool(good)),
        chosen=chosen,
        options=tuple(sorted(options, key=_rank)),
        target=most_cold,
        break_even=prices.break_even,
        peak=peak,
        risks=tuple(_risks(peak, chosen, reserved, account_limit)),
    )


def _minutes(arrivals: float | Sequence[float]) -> Floats:
    minutes = np.asarray(arrivals, np.float64)
    if minutes.ndim == 0:
        minutes = np.full(_HOUR, float(minutes) * MINUTE_S)
    if minutes.ndim != 1 or len(minutes) == 0:
        raise ValueError("there are no arrivals: give a rate, or the requests in each minute")
    if not np.isfinite(minutes).all() or (minutes < 0).any():
        raise ValueError("arrivals must be finite numbers at or above 0")
    return minutes


# --- dollars ---


def monthly_dollars(
    gone: Flow, ready: Counts, *, duration_s: float, init_s: float, memory_gb: float, prices: Prices
) -> float:
    """A month of what `flow` tells, with so many environments ready in each minute.

    n·GB·T·pc + (1 − B)·N·d·GB·pc_duration + B·N·(d + cold·init)·GB·on_demand + N·request; ready time counts in steps
    of five minutes, as it is billed.
    """
    scale = prices.month_s / (len(gone.requests) * MINUTE_S)
    requests, spilled, cold = (float(part.sum()) for part in (gone.requests, gone.spilled, gone.cold))
    standing_s = float(_billed_minutes(ready).sum()) * MINUTE_S
    provisioned = standing_s * prices.provisioned + (requests - spilled) * duration_s * prices.provisioned_duration
    on_demand = duration_cost(scale * (spilled * duration_s + cold * init_s) * memory_gb, prices)
    return scale * (provisioned * memory_gb + requests * prices.request) + on_demand


def _billed_minutes(ready: Counts) -> Counts:
    """Each five minutes at the most that stood ready within them."""
    padded = np.pad(ready, (0, -len(ready) % 5), mode="edge")
    billed: Counts = np.repeat(padded.reshape(-1, 5).max(axis=1), 5)[: len(ready)]
    return billed


def _option(case: _Case, name: str, gone: Flow, ready: Counts, **other: Any) -> Option:
    """An option from what becomes of its requests; shares are of the real requests, pings left out."""
    dollars = monthly_dollars(
        gone,
        ready,
        duration_s=case.duration_s,
        init_s=case.init_s,
        memory_gb=case.memory_gb,
        prices=case.prices,
    )
    requests, cold = float(case.minutes.sum()), float(gone.cold.sum())
    share = cold / requests if requests else 0.0
    spill = gone.spill_share if ready.any() else 0.0
    return Option(name, dollars, 0.0, cold * case.scale, share, spill, **other)


def _priced(case: _Case, name: str, ready: Counts, **other: Any) -> Option:
    gone = flow(case.minutes, case.duration_s, case.init_s, ready, keep_alive_s=case.keep_alive_s)
    return _option(case, name, gone, ready, **other)


# --- the ways ---


def _on_demand(case: _Case, name: str) -> Option:
    return _priced(case, name, np.zeros(len(case.minutes), np.int64))


@dataclass(frozen=True, slots=True)
class _Shape:
    """When environments stand ready: any number where `mask` is 1, `least` at any time."""

    name: str
    mask: Counts
    least: Counts
    hours: tuple[int, ...] = ()


def _provisioned(case: _Case, most_cold: float) -> list[Option]:
    """The fewest environments that meet the target: always, in busy hours, in busy hours with one at all times."""
    always = np.ones(len(case.minutes), np.int64)
    shapes = [_Shape("provisioned", always, np.zeros_like(always))]
    hours = _busy_hours(case)
    if 0 < len(hours) < len(case.minutes) // _HOUR:
        busy = np.isin(np.arange(len(case.minutes)) // _HOUR, hours).astype(np.int64)
        shapes += [
            _Shape("provisioned by schedule", busy, np.zeros_like(busy), tuple(hours)),
            _Shape("provisioned by schedule, one at all times", busy, always, tuple(hours)),
        ]
    return [_fewest(case, shape, most_cold) for shape in shapes]


def _fewest(case: _Case, shape: _Shape, most_cold: float) -> Option:
    """The fewest environments within a shape that meet the target; else the most that make sense.

    Cold starts never rise with environments, so the number is found by halving. AWS lets one environment take 10
    requests a second, however short they are.
    """

    def option(number: int) -> Option:
        ready = np.maximum(shape.mask * number, shape.least)
        least = int(shape.least.max()) if shape.hours else 0
        return _priced(case, shape.name, ready, environments=int(ready.max()), hours=shape.hours, least=least)

    low = max(1, math.ceil(float((case.minutes * shape.mask).max()) / MINUTE_S / PER_ENVIRONMENT))
    high = max(low, _peak(case, with_init=True)) + 1
    best = option(high)
    if best.cold_share > most_cold:
        return best
    while low < high:
        middle = (low + high) // 2
        one = option(middle)
        if one.cold_share <= most_cold:
            high, best = middle, one
        else:
            low = middle + 1
    return best


def _busy_hours(case: _Case) -> list[int]:
    """Hours of the period that are busy: the same hours on each busy day, so that a person can keep the timetable.

    A day is busy with at least a quarter of the busiest day's requests, an hour with a tenth of the busiest hour's,
    both as means over busy days.
    """
    days = len(case.minutes) // (_HOUR * _DAY)
    if days < 1:
        return []
    by_hour = case.minutes[: days * _DAY * _HOUR].reshape(days, _DAY, _HOUR).sum(axis=2)
    by_day = by_hour.sum(axis=1)
    busy = np.flatnonzero(by_day >= _BUSY_DAY * by_day.max())
    mean = by_hour[busy].mean(axis=0)
    hours = np.flatnonzero(mean >= _BUSY_HOUR * mean.max())
    return [int(day) * _DAY + int(hour) for day in busy for hour in hours]


def _warmed(case: _Case) -> Option:
    """One ping within each keep-alive time: the first environment never goes cold, bursts still do; all is paid."""
    every = max(1, int(case.keep_alive_s / MINUTE_S) - 1)
    pings = np.zeros(len(case.minutes))
    pings[::every] = 1
    warm = flow(case.minutes, case.duration_s, case.init_s, 1, keep_alive_s=case.keep_alive_s)
    paid = Flow(case.minutes + pings, case.minutes + pings, warm.cold)
    note = f"a scheduled event every {every} minutes; it keeps one environment, and does nothing for bursts"
    return _option(case, "keep-warm ping", paid, np.zeros(len(pings), np.int64), note=note)


def _snapstart(case: _Case, snapstart: SnapStart) -> Option:
    """A restore instead of an init: cold starts stay, and become shorter; the cache is paid by the hour."""
    restored = _Case(
        case.minutes, case.duration_s, snapstart.restore_ms / 1e3, case.memory_gb, case.prices, case.keep_alive_s
    )
    one = _on_demand(restored, "SnapStart")
    cached = case.memory_gb * case.prices.month_s * snapstart.cache_gb_s
    restores = one.cold_starts * case.memory_gb * snapstart.restore_gb
    note = f"cold starts stay, each {snapstart.restore_ms:g} ms instead of {case.init_s * 1e3:g} ms"
    return Option("SnapStart", one.dollars + cached + restores, 0.0, one.cold_starts, one.cold_share, 0.0, note=note)


# --- the choice ---


def _against(option: Option, nothing: Option) -> Option:
    avoided, extra = nothing.cold_starts - option.cold_starts, option.dollars - nothing.dollars
    per = extra / avoided if avoided >= 1 else None
    return replace(option, extra=extra, per_avoided=per)


def _rank(option: Option) -> tuple[bool, float]:
    return option.per_avoided is None, option.per_avoided if option.per_avoided is not None else option.extra


def _peak(case: _Case, *, with_init: bool = False) -> int:
    """Environments busy at once in the busiest minute, exceeded 0.1 % of the time (normal approximation)."""
    holding = case.duration_s + (case.init_s if with_init else 0.0)
    offered = float(case.minutes.max(initial=0.0)) / MINUTE_S * holding
    return math.ceil(offered + 3.09 * math.sqrt(offered)) if offered > 0 else 0


def _verdict(chosen: Option, nothing: Option, most_cold: float, *, met: bool) -> str:
    if nothing.cold_share <= most_cold:
        share = f"{nothing.cold_share:.3%} of the requests"
        return f"none needed: {share} start cold on demand, at most {most_cold:.3%} is asked"
    if not met:
        return f"no way that was priced meets {most_cold:.3%} cold starts; {chosen.name} comes nearest"
    when = f" in {len(chosen.hours)} hours" if chosen.hours else ""
    many = f" {chosen.environments}" if chosen.environments else ""
    return f"{chosen.name}{many}{when}: ${chosen.extra:,.2f} a month more, {chosen.cold_share:.3%} start cold"


def _risks(peak: int, chosen: Option, reserved: int | None, account_limit: int | None) -> list[str]:
    found = []
    if reserved is not None and peak > reserved:
        found.append(f"throttling: the busiest minute asks for {peak} environments, {reserved} are reserved")
    if account_limit is not None and max(peak, chosen.environments) > 0.8 * account_limit:
        found.append(f"the busiest minute asks for {peak} of the account's {account_limit} concurrent executions")
    return found
