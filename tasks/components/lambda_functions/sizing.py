"""Which memory size a function should have, from what it was measured to do, or the admission that nobody knows.

Lambda gives CPU in proportion to memory, one whole vCPU at 1,769 MB, so more memory may be faster at the same cost.
How much of a function's time is CPU cannot be told from one size: then there is a plan to probe, and no advice.
Two sizes determine `a + b·1769/m` (waiting + computing) up to `GAIN_ENDS_MB`; three or more are interpolated,
monotone, in the share of CPU. Nothing is recommended outside the sizes that were measured, nor below what was used
plus a margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

FULL_VCPU_MB = 1769
SMALLEST_MB = 128
LARGEST_MB = 10_240
MARGIN = 0.25
"""A size must exceed the largest use seen by this share."""

GAIN_ENDS_MB = 2800
"""Where more memory makes a function of one thread no faster. A whole vCPU comes with 1,769 MB, but the runtime's own
threads (garbage collection, just-in-time compilation) use some of a second one: measured curves say so
(docs/adr/0015)."""

COST_TOLERANCE = 0.075
"""Balanced: the fastest of the sizes that cost at most this share more than the cheapest."""

TOLERANCE_OF_TWO = 0.07
"""The same where two sizes were measured: what lies between them is less sure."""

MODEL_SPREAD = 0.30
"""How far a predicted duration of a size that was not measured is off, as a natural logarithm: 95 % of 640 sizes that
were left out of measured curves were predicted within this (median 0.065; docs/adr/0019)."""

LADDER = (128, 256, 512, 768, 1024, FULL_VCPU_MB, 2048, 3072, 4096, 8192, 10_240)
"""Sizes worth naming between measured ones: no finer than a prediction between them can tell apart."""

_MODEL_POINTS = 2
_ENOUGH_POINTS = 3


Interval = tuple[float, float]


class Objective(StrEnum):
    """What a size is chosen for."""

    COST = "cost"
    BALANCED = "balanced"
    LATENCY = "latency"


class Verdict(StrEnum):
    """What the measured sizes say."""

    RESIZE = "resize"
    KEEP = "keep"
    INSUFFICIENT = "insufficient evidence"


@dataclass(frozen=True, slots=True)
class MemoryAdvice:
    """The size to take, with what it is predicted to do; `memory_mb` is None where evidence lacks.

    `duration_ms` and `gb_ms` (GB x billed ms of one invocation) are predicted at `memory_mb`; the ratios hold them
    against `current_mb`. Each interval holds 95 %: of the samples' noise where intervals of the points were given,
    and of the model's error where the size was not measured; None where neither is known. `probe_mb` are the sizes
    to measure next, `method` is how it was predicted.
    """

    verdict: Verdict
    memory_mb: int | None
    current_mb: int | None
    floor_mb: int
    method: str
    reason: str
    duration_ms: float | None = None
    gb_ms: float | None = None
    duration_ratio: float | None = None
    cost_ratio: float | None = None
    probe_mb: tuple[int, ...] = ()
    duration_interval: Interval | None = None
    duration_ratio_interval: Interval | None = None
    cost_ratio_interval: Interval | None = None


Curve = Callable[[float], float]


def recommend(
    points: Mapping[int, float],
    *,
    current_mb: int | None = None,
    max_used_mb: float | None = None,
    objective: Objective | str = Objective.BALANCED,
    margin: float = MARGIN,
    sizes: Sequence[int] | None = None,
    tolerance: float | None = None,
    intervals: Mapping[int, Interval] | None = None,
) -> MemoryAdvice:
    """Advise on memory from measured `points` (MB → typical duration in ms, 1 invocation).

    `objective`: `cost` takes the cheapest size, `latency` the fastest, `balanced` the fastest that costs little more
    than the cheapest; `tolerance` says how much more (a share of the cheapest), of its own for any objective.
    `intervals` are 95 % intervals of the points, where they are known. `max_used_mb` is the largest use that was
    seen: no advice goes below it plus `margin`. `sizes` are the sizes that may be chosen (by default those of
    `LADDER` and the measured ones); those outside the measured range are not.
    Raises ValueError for a size or duration that is not above 0.
    """
    measured = _checked({int(size): float(duration) for size, duration in points.items()})
    floor = floor_mb(max_used_mb, margin)
    now = current_mb if current_mb is not None else (max(measured) if len(measured) == 1 else None)
    if len(measured) < _MODEL_POINTS:
        return _abstain(
            now,
            floor,
            "one size tells nothing of the share of CPU" if measured else "no size has enough warm invocations",
            measured,
        )
    allowed = [size for size in _candidates(measured, sizes) if size >= floor]
    if not allowed:
        return _abstain(now, floor, f"every measured size is below {floor} MB, the use seen plus a margin", measured)
    enough = len(measured) >= _ENOUGH_POINTS
    curve = _as_measured(measured, interpolation(measured) if enough else cpu_model(measured))
    method = (
        f"monotone interpolation of {len(measured)} sizes by their share of CPU"
        if enough
        else "CPU model of two sizes"
    )
    if tolerance is None and Objective(objective) is Objective.BALANCED:
        tolerance = COST_TOLERANCE if enough else TOLERANCE_OF_TWO
    advice = _choose(
        curve, allowed, now=now, floor=floor, method=method, objective=Objective(objective), tolerance=tolerance
    )
    return _with_intervals(advice, measured, intervals or {})


def floor_mb(max_used_mb: float | None, margin: float = MARGIN) -> int:
    """The smallest size that holds the largest use seen plus a margin."""
    return max(SMALLEST_MB, math.ceil((max_used_mb or 0) * (1 + margin)))


def probe_plan(measured: Sequence[int], floor: int = SMALLEST_MB) -> tuple[int, ...]:
    """Sizes to measure next, so that three lie around the present one, none below `floor`."""
    present = max(measured, default=max(floor, 512))
    wanted = (present // 2, present * 2, FULL_VCPU_MB, present * 4)
    useful = [size for size in wanted if floor <= size <= LARGEST_MB and size not in measured]
    return tuple(sorted(dict.fromkeys(useful[: max(0, _ENOUGH_POINTS - len(measured))])))


def cpu_model(points: Mapping[int, float]) -> Curve:
    """`a + b·1769/min(m, 2600)` with a, b ≥ 0 through two points; a constant where both lie beyond the gain."""
    (m1, d1), (m2, d2) = sorted(points.items())
    x1, x2 = _share(m1), _share(m2)
    if x1 == x2:
        mean = (d1 + d2) / 2
        return lambda _: mean
    slope = max(0.0, (d1 - d2) / (x1 - x2))
    constant = d2 - slope * x2 if slope else (d1 + d2) / 2
    if constant < 0:  # faster than CPU in proportion: no waiting at all, the line through the origin that fits best
        constant, slope = 0.0, (d1 * x1 + d2 * x2) / (x1 * x1 + x2 * x2)
    return lambda memory: constant + slope * _share(memory)


def _share(memory: float) -> float:
    return FULL_VCPU_MB / min(memory, GAIN_ENDS_MB)


def interpolation(points: Mapping[int, float]) -> Curve:
    """`a + b·1769/m` between each two neighbours, linear in m beyond `GAIN_ENDS_MB`; constant beyond the ends.

    Durations are made non-increasing first, by pooling adjacent violators of their logarithms.
    """
    xs = sorted(points)
    ys = [math.exp(y) for y in _non_increasing([math.log(points[size]) for size in xs])]

    def curve(memory: float) -> float:
        if memory <= xs[0]:
            return ys[0]
        for (x0, y0), (x1, y1) in pairwise(zip(xs, ys, strict=True)):
            if memory <= x1:
                return y0 + (y1 - y0) * _way(x0, x1, memory)
        return ys[-1]

    return curve


def _as_measured(points: Mapping[int, float], curve: Curve) -> Curve:
    """The curve, but what was measured stays as it was measured: noise is smoothed between sizes alone."""
    return lambda memory: points.get(int(memory), curve(memory)) if memory == int(memory) else curve(memory)


def _way(start: float, end: float, memory: float) -> float:
    """How far between two sizes, 0..1: by the share of CPU, by memory where that is the same at both."""
    first, last = _share(start), _share(end)
    if first == last:
        return (memory - start) / (end - start)
    return (_share(memory) - first) / (last - first)


def _non_increasing(values: Sequence[float]) -> list[float]:
    """The non-increasing sequence nearest to the values in least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (right, n), (left, m) = blocks.pop(), blocks.pop()
            blocks.append(((left * m + right * n) / (m + n), m + n))
    return [value for value, count in blocks for _ in range(count)]


def _checked(points: Mapping[int, float]) -> dict[int, float]:
    for size, duration in points.items():
        if size <= 0 or not math.isfinite(duration) or duration <= 0:
            raise ValueError(f"a measured size and its duration must be above 0, not {size} MB → {duration} ms")
    return dict(sorted(points.items()))


def _candidates(measured: Mapping[int, float], sizes: Sequence[int] | None) -> list[int]:
    low, high = min(measured), max(measured)
    return sorted(size for size in {*(sizes or (*LADDER, *measured))} if low <= size <= high)


def _choose(
    curve: Curve,
    allowed: Sequence[int],
    *,
    now: int | None,
    floor: int,
    method: str,
    objective: Objective,
    tolerance: float | None,
) -> MemoryAdvice:
    costs = {size: size * curve(size) for size in allowed}
    reason = _reason(objective, tolerance)
    usual = 0.0 if objective is Objective.COST else math.inf
    tolerance = usual if tolerance is None else tolerance
    affordable = [size for size in allowed if costs[size] <= min(costs.values()) * (1 + tolerance)]
    best = min(affordable, key=lambda size: (curve(size), size))
    duration, cost = curve(best), best * curve(best)
    before = curve(now) if now is not None else None
    change = (duration / before, cost / (now * before)) if now is not None and before is not None else (None, None)
    return MemoryAdvice(
        verdict=Verdict.KEEP if best == now else Verdict.RESIZE,
        memory_mb=best,
        current_mb=now,
        floor_mb=floor,
        method=method,
        reason=reason,
        duration_ms=duration,
        gb_ms=cost / 1024,
        duration_ratio=change[0],
        cost_ratio=change[1],
    )


def _with_intervals(
    advice: MemoryAdvice, measured: Mapping[int, float], intervals: Mapping[int, Interval]
) -> MemoryAdvice:
    """The advice with intervals: both ends of all points through the same curve, wider where nothing was measured."""
    size, now, duration = advice.memory_mb, advice.current_mb, advice.duration_ms
    if size is None or duration is None:
        return advice
    fit = interpolation if len(measured) >= _ENOUGH_POINTS else cpu_model
    ends = [fit({mb: intervals.get(mb, (ms, ms))[end] for mb, ms in measured.items()}) for end in (0, 1)]

    def around(mb: int) -> Interval:
        spread = 1.0 if mb in measured else math.exp(MODEL_SPREAD)
        return min(ends[0](mb), ends[1](mb)) / spread, max(ends[0](mb), ends[1](mb)) * spread

    if not intervals and size in measured and (now is None or now in measured):
        return advice
    low, high = around(size)
    if now is None or now == size:
        return replace(advice, duration_interval=(low, high))
    before = around(now)
    ratio = (low / before[1], high / before[0])
    return replace(
        advice,
        duration_interval=(low, high),
        duration_ratio_interval=ratio,
        cost_ratio_interval=(ratio[0] * size / now, ratio[1] * size / now),
    )


def _reason(objective: Objective, tolerance: float | None) -> str:
    if tolerance is not None:
        return f"the fastest of the sizes within {tolerance:.0%} of the cheapest"
    which = "cheapest" if objective is Objective.COST else "fastest"
    return f"the {which} of the sizes that were measured or lie between them"


def _abstain(now: int | None, floor: int, reason: str, measured: Mapping[int, float]) -> MemoryAdvice:
    return MemoryAdvice(
        verdict=Verdict.INSUFFICIENT,
        memory_mb=None,
        current_mb=now,
        floor_mb=floor,
        method="none",
        reason=reason,
        probe_mb=probe_plan(list(measured), floor) or probe_plan([floor], floor),
    )
