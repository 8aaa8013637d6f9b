"""Memory: too small, too large, or a better size among those that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.lambda_functions.advise.commands import memory_patches, resize, undo_resize
from tasks.components.lambda_functions.advise.finding import critical_note, evidence, finding, optimizer_note
from tasks.components.lambda_functions.advise.sizes import between, dollars, efficiency, predicted, size_advice
from tasks.components.lambda_functions.facts import Facts, FunctionFacts
from tasks.components.lambda_functions.sizing import (
    LARGEST_MB,
    MemoryAdvice,
    Verdict,
    floor_mb,
)

FULL = 0.90
"""Used ÷ allocated above which a larger request may kill the function (platform target: warning above 90 %)."""

EMPTY = 0.30
"""Largest use ÷ allocated below which memory lies idle (platform target: warning below 30 %)."""

VERY_EMPTY = 0.10
"""Below this share a function has its own finding, whatever it costs."""

WORTH_DOLLARS = 1.0
"""A possible saving a month from which idle memory has a finding of its own."""

WORTHWHILE = 0.05
"""A change of cost or duration smaller than this is not worth an action."""

_OUT_OF_MEMORY = "Runtime.OutOfMemory"
_SAMPLES = 100
_NAMED = 10
_STEP_MB = 128


def memory(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """At most one finding on the memory of a function."""
    known = function.statistics
    if known is None or known.max_memory_used_mb is None or known.invocations < _SAMPLES:
        return
    present = function.setup["memory_mb"]
    at_present = known.by_memory.get(present)
    used = known.max_memory_used_mb
    killed = known.error_types.get(_OUT_OF_MEMORY, 0)
    if (at_present is not None and at_present.max_used_mb >= FULL * present) or killed:
        yield _undersized(function, measurements, used, killed)
        return
    advice = size_advice(function, known)
    if advice.verdict is Verdict.RESIZE and _worthwhile(advice):
        yield _better(function, measurements, advice)
    elif used < EMPTY * present and advice.verdict is Verdict.INSUFFICIENT and _worth_a_finding(function):
        yield _oversized(function, measurements, used, advice)


def _worthwhile(advice: MemoryAdvice) -> bool:
    if advice.cost_ratio is None or advice.duration_ratio is None:
        return False
    return advice.cost_ratio <= 1 - WORTHWHILE or advice.duration_ratio <= 1 - WORTHWHILE


def _undersized(function: FunctionFacts, measurements: Sequence[Measurement], used: int, killed: int) -> Finding:
    present, wanted = function.setup["memory_mb"], min(LARGEST_MB, _step_above(floor_mb(used)))
    died = f" {killed} invocations were killed for want of memory." if killed else ""
    return finding(
        "memory_undersized",
        function.name,
        title=f"{function.name} uses {used} of its {present} MB",
        detail=(
            f"Its largest use leaves {max(0, present - used)} MB.{died}{optimizer_note(function)}"
            f"{critical_note(function)}"
        ),
        severity=Severity.CRITICAL if killed and function.criticality.critical else Severity.WARNING,
        impact=Level.HIGH if killed else Level.MEDIUM,
        effort=Level.LOW,
        evidence=evidence(
            function, measurements, "lambda.memory.efficiency", "lambda.errors.ratio", "lambda.memory.optimizer"
        ),
        remedy=Remedy(
            summary=f"Give it {wanted} MB: the largest use seen and a quarter more.",
            commands=resize(function, wanted),
            rollback=undo_resize(function),
            patches=memory_patches(function, wanted),
            predicted=efficiency(function, measurements, wanted),
        ),
    )


def _oversized(
    function: FunctionFacts, measurements: Sequence[Measurement], used: int, advice: MemoryAdvice
) -> Finding:
    present, probe = function.setup["memory_mb"], _probe(function, advice)
    return finding(
        "memory_oversized",
        function.name,
        title=f"{function.name} never uses more than {used} of its {present} MB",
        detail=(
            f"Memory also buys CPU: what less of it would do to the duration is not known (insufficient evidence: "
            f"{advice.reason}). Never go below {advice.floor_mb} MB.{optimizer_note(function)}"
            f"{critical_note(function)}"
        ),
        severity=Severity.WARNING,
        impact=Level.LOW,
        effort=Level.LOW,
        evidence=evidence(
            function,
            measurements,
            "lambda.memory.efficiency",
            "lambda.duration.p95",
            "lambda.cost.month",
            "lambda.memory.optimizer",
        ),
        remedy=Remedy(
            summary=(
                f"Probe {probe} MB: run a school day with it and measure again; with two sizes in the log the next "
                "run can tell which to keep. Roll back at once if its duration matters and grows."
            ),
            commands=resize(function, probe),
            rollback=undo_resize(function),
        ),
    )


def _probe(function: FunctionFacts, advice: MemoryAdvice) -> int:
    """The largest size of the probe plan below the present one, else half of it, never below the floor."""
    present: int = function.setup["memory_mb"]
    smaller = [size for size in advice.probe_mb if advice.floor_mb <= size < present]
    return max(smaller, default=max(advice.floor_mb, present // 2))


def saving_bound(function: FunctionFacts, floor: int) -> float:
    """Dollars a month that a smaller size saves at most, as if it lasted no longer; 0 where nothing is priced."""
    known, price = function.statistics, function.price
    if known is None or price is None:
        return 0.0
    gb_s = known.billed_gb_s * price.month_s / function.window.seconds
    idle: float = max(0.0, 1 - floor / function.setup["memory_mb"])
    return gb_s * price.duration[0] * idle


def idle_memory(facts: Facts) -> Iterator[Finding]:
    """One finding for all functions with idle memory of little worth: their shared default size."""
    idle = [function for function in facts.functions.values() if _idle(function) and not _worth_a_finding(function)]
    if not idle:
        return
    dollars = sum(saving_bound(each, floor_mb(_used(each))) for each in idle)
    most = max(_used(each) for each in idle)
    sizes = sorted({each.setup["memory_mb"] for each in idle})
    yield finding(
        "memory_idle",
        "functions",
        title=f"{len(idle)} functions never use {EMPTY:.0%} of their memory",
        detail=(
            f"The largest use of any of them is {most} MB of {_sizes(sizes)}. Together they could save at most "
            f"${dollars:.2f} a month, if less CPU did not make them slower: not worth a change for money alone. "
            f"They are {_listed(idle)}."
        ),
        severity=Severity.INFO,
        impact=Level.LOW,
        effort=Level.MEDIUM,
        remedy=Remedy(summary="Leave them, or probe a smaller default on staging under load and compare durations."),
    )


def _used(function: FunctionFacts) -> int:
    known = function.statistics
    return known.max_memory_used_mb or 0 if known is not None else 0


def _idle(function: FunctionFacts) -> bool:
    known = function.statistics
    if known is None or known.invocations < _SAMPLES:
        return False
    single = len(known.memory_sizes_mb) == 1
    return single and 0 < _used(function) < EMPTY * function.setup["memory_mb"]


def _worth_a_finding(function: FunctionFacts) -> bool:
    used = _used(function)
    return used < VERY_EMPTY * function.setup["memory_mb"] or saving_bound(function, floor_mb(used)) >= WORTH_DOLLARS


def _listed(functions: Sequence[FunctionFacts]) -> str:
    names = [each.name for each in functions]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _better(function: FunctionFacts, measurements: Sequence[Measurement], advice: MemoryAdvice) -> Finding:
    wanted, sizes = advice.memory_mb or 0, function.statistics.memory_sizes_mb if function.statistics else ()
    cost, duration = (advice.cost_ratio or 1) - 1, (advice.duration_ratio or 1) - 1
    return finding(
        "memory_resize",
        function.name,
        title=f"{function.name} ran with {_sizes(sizes)}: {wanted} MB suits it best",
        detail=(
            f"By {advice.method}, against {advice.current_mb} MB: duration {duration:+.0%}"
            f"{between(advice.duration_ratio_interval)}, cost of duration {cost:+.0%}"
            f"{between(advice.cost_ratio_interval)}{dollars(function, advice)}; {advice.reason}."
            f"{optimizer_note(function)}{critical_note(function)}"
        ),
        severity=Severity.INFO,
        impact=Level.MEDIUM if min(cost, duration) < -0.2 else Level.LOW,  # noqa: PLR2004 - a fifth is felt
        effort=Level.LOW,
        evidence=evidence(
            function,
            measurements,
            "lambda.duration.p95",
            "lambda.cost.month",
            "lambda.memory.efficiency",
            "lambda.memory.optimizer",
        ),
        remedy=Remedy(
            summary=f"Set its memory to {wanted} MB.",
            commands=resize(function, wanted),
            rollback=undo_resize(function),
            patches=memory_patches(function, wanted),
            predicted=predicted(function, measurements, advice),
        ),
    )


def _step_above(size: int) -> int:
    """The next multiple of 128 MB: what is used must fit, however finely sizes can be told apart by speed."""
    return min(LARGEST_MB, math.ceil(size / _STEP_MB) * _STEP_MB)


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(str(size) for size in sizes) + " MB"
