"""The phases of a load: ramp, warm-up, and then one steady rate or the periods of a day. Pure."""

from __future__ import annotations

from deployments.load import Day, Load, Period
from tasks.load.recording.samples import RAMP, STEADY, WARMUP
from tasks.load.schedule import Phase

_BETWEEN = "between"
_HALVINGS = 6


def phases_of(load: Load) -> list[Phase]:
    """The schedule of a load; a day begins at the rate of its first minute, so its ramp rises to that."""
    main = [Phase(STEADY, load.rate, load.rate, load.judged_s)] if load.day is None else _day(load.day, load)
    first = main[0].from_rate
    before = [
        Phase(RAMP, 0.0, first, load.ramp_up_s),
        Phase(WARMUP, first, first, load.warmup_s),
    ]
    return [*(phase for phase in before if phase.duration_s > 0), *main]


def judged_phases(load: Load) -> tuple[str, ...]:
    """Names of the phases whose figures are reported."""
    names = [phase.name for phase in phases_of(load) if phase.name not in (RAMP, WARMUP)]
    return tuple(dict.fromkeys(names))


def judged_rate(load: Load) -> float:
    """Mean arrival rate over those phases, requests a second."""
    judged = [phase for phase in phases_of(load) if phase.name not in (RAMP, WARMUP)]
    return sum(phase.expected for phase in judged) / sum(phase.duration_s for phase in judged)


def speed(load: Load) -> float | None:
    """How many times faster than the clock a day is played; None for a load without one."""
    if load.day is None:
        return None
    return 60 * (load.day.periods[-1].minutes[1] - load.day.periods[0].minutes[0]) / load.judged_s


def _day(day: Day, load: Load) -> list[Phase]:
    first, last = day.periods[0].minutes[0], day.periods[-1].minutes[1]
    seconds = load.judged_s / (last - first)
    phases: list[Phase] = []
    at = first
    for period in day.periods:
        start, end = period.minutes
        if start > at:
            rate = load.rate * day.between
            phases.append(Phase(_BETWEEN, rate, rate, (start - at) * seconds))
        before = phases[-1].to_rate if phases else load.rate * day.between
        phases += _period(period, load.rate, before, (end - start) * seconds)
        at = end
    return phases


def _period(period: Period, full: float, before: float, seconds: float) -> list[Phase]:
    rate = full * period.rate
    if period.shape == "rise":
        return [Phase(period.name, before, rate, seconds)]
    if period.shape == "steady":
        return [Phase(period.name, rate, rate, seconds)]
    pieces = seconds / _HALVINGS
    return [Phase(period.name, rate / 2**n, rate / 2 ** (n + 1), pieces) for n in range(_HALVINGS)]
