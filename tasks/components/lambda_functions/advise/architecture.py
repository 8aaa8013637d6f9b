"""x86_64 → arm64: a fifth less for each GB-second. What it does to the duration is known only once it was tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.lambda_functions.advise.commands import on, patches, settled
from tasks.components.lambda_functions.advise.finding import critical_note, evidence, finding
from tasks.components.lambda_functions.cost import Usage, monthly_cost, prices
from tasks.components.lambda_functions.facts import FunctionFacts

WORTH_DOLLARS = 1.0
"""A saving a month below which nobody tests another architecture."""

_X86, _ARM = "x86_64", "arm64"
_WITHOUT_ARM = frozenset(
    {"go1.x", "dotnetcore2.1", "python3.6", "python3.7", "nodejs10.x", "ruby2.5", "java8", "provided", "python2.7"}
)


def architecture(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """Functions on x86_64 that would cost noticeably less on arm64 if they took no longer there."""
    known, there = function.statistics, prices(function.region, _ARM)
    if function.setup["architecture"] != _X86 or known is None or there is None or _impossible(function):
        return
    cost = function.cost()
    if cost is None:
        return
    scale = there.month_s / function.window.seconds
    usage = Usage(requests=0, gb_s=known.billed_gb_s * scale, memory_mb=function.setup["memory_mb"])
    saved = cost.duration - monthly_cost(usage, there).duration
    if saved < WORTH_DOLLARS:
        return
    even = cost.duration / (cost.duration - saved) - 1
    yield finding(
        "architecture",
        function.name,
        title=f"{function.name} would cost ${saved:.2f} a month less on arm64, if it took no longer",
        detail=(
            f"Of ${cost.duration:.2f} for its duration. How long it takes there was not measured: it pays as long as "
            f"it is less than {even:.0%} slower.{critical_note(function)}"
        ),
        severity=Severity.INFO,
        impact=Level.MEDIUM if saved >= 10 * WORTH_DOLLARS else Level.LOW,
        effort=Level.MEDIUM,
        evidence=evidence(function, measurements, "lambda.cost.month", "lambda.duration.p95"),
        remedy=Remedy(
            summary=(
                "Build its package for arm64 (native modules too), try it on staging under load, then deploy it with "
                "the new architecture and compare durations by the next run. code.zip is that package."
            ),
            commands=(*_deploy(function, _ARM, "code.zip", guarded=True),),
            rollback=(*_deploy(function, _X86, "code-before.zip", guarded=False),),
            patches=patches(
                function, f"architecture: {_ARM}", f"Architectures: [{_ARM}]", f'architectures = ["{_ARM}"]'
            ),
        ),
    )


def _impossible(function: FunctionFacts) -> bool:
    return function.setup["package"] != "Zip" or function.setup["runtime"] in _WITHOUT_ARM


def _deploy(function: FunctionFacts, architecture: str, package: str, *, guarded: bool) -> tuple[str, ...]:
    revision = function.setup["revision"]
    guard = ("--revision-id", revision) if guarded and revision else ()
    code = ("--architectures", architecture, "--zip-file", f"fileb://{package}")
    return (on(function, "update-function-code", *code, *guard), settled(function))
