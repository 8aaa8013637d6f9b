"""Cold starts that callers wait for, inits that fail, and provisioned concurrency that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deployments.config import LambdaSettings
from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.lambda_functions.advise.commands import aws, on
from tasks.components.lambda_functions.advise.finding import critical_note, evidence, finding
from tasks.components.lambda_functions.advise.provisioning import removal_patches
from tasks.components.lambda_functions.advise.ready import plan_words, standing, start_remedy
from tasks.components.lambda_functions.facts import Facts, FunctionFacts
from tasks.components.lambda_functions.planning import planned
from tasks.components.lambda_functions.values import ENOUGH_COLD_STARTS, starts_of

SLOW_MS = 3000
"""Cold start that the release gate does not let pass on a critical function."""

GOOD_MS = 1000
OFTEN = 0.10
"""Share of cold starts above which they are felt every day."""

UNUSED = 0.10
"""Share of provisioned time in use below which it is paid for in vain."""


def cold_starts(
    function: FunctionFacts, measurements: Sequence[Measurement], facts: Facts, settings: LambdaSettings
) -> Iterator[Finding]:
    """Critical functions whose cold starts are slow, or frequent and not quick."""
    known, starts = function.statistics, starts_of(function)
    if known is None or starts is None or starts.n < ENOUGH_COLD_STARTS or not function.criticality.critical:
        return
    share = starts.n / known.invocations
    slow, often = starts.p95 > SLOW_MS, share > OFTEN and starts.p95 > GOOD_MS
    if not (slow or often):
        return
    made = planned(function, facts, most_cold=settings.most_cold)
    failed = f" {known.failed_inits} more inits failed or timed out." if known.failed_inits else ""
    yield finding(
        "cold_starts",
        function.name,
        title=f"{share:.1%} of calls to {function.name} wait for a cold start, p95 {starts.p95 / 1000:.1f} s",
        detail=(
            f"{starts.n} cold starts in {known.invocations} invocations.{failed}{critical_note(function)} "
            f"{plan_words(function, made, starts)}"
        ),
        severity=Severity.CRITICAL if slow else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=evidence(
            function, measurements, "lambda.cold_start.p95", "lambda.cold_start.ratio", "lambda.concurrency.max"
        ),
        remedy=start_remedy(function, made, settings.timezone, measurements),
    )


def failed_inits(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """Initialisations that were abandoned: callers wait for them and then for another one."""
    known = function.statistics
    if known is None or not known.failed_inits:
        return
    inits = known.failed_inits + known.cold_starts
    yield finding(
        "failed_inits",
        function.name,
        title=f"{known.failed_inits} of {inits} initialisations of {function.name} failed or timed out",
        detail=f"An init that does not end within 10 s is begun again during the call.{critical_note(function)}",
        severity=Severity.WARNING,
        impact=Level.MEDIUM if function.criticality.critical else Level.LOW,
        effort=Level.MEDIUM,
        evidence=evidence(function, measurements, "lambda.cold_start.p95", "lambda.cold_start.ratio"),
        remedy=Remedy(
            summary="Look at what the init does: imports, secrets, connections; move it behind their first use.",
            commands=(log_search(function, "INIT_REPORT"),),
        ),
    )


def unused_provisioned(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """Provisioned environments that are hardly used, mostly because callers do not call their alias."""
    if not function.provisioned or function.statistics is None or not function.invocations:
        return
    environments = sum(function.provisioned.values())
    through, calls = function.count("ProvisionedConcurrencyInvocations"), function.invocations
    duration = function.statistics.duration_ms
    busy_s = through * (duration.mean if duration else 0) / 1000
    used = busy_s / (environments * function.window.seconds)
    if used >= UNUSED:
        return
    qualifiers = sorted(function.provisioned)
    dollars = standing(function, environments)
    saved = f" They cost ${dollars:.2f} a month." if dollars is not None else ""
    yield finding(
        "provisioned_unused",
        function.name,
        title=f"{environments} provisioned environments of {function.name} serve {through} of {calls} calls",
        detail=(
            f"They stand behind {' and '.join(qualifiers)} and are busy {used:.2%} of the time; callers of $LATEST "
            f"get nothing from them.{saved}"
        ),
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        effort=Level.LOW,
        evidence=evidence(
            function, measurements, "lambda.invocations.count", "lambda.concurrency.max", "lambda.cost.month"
        ),
        remedy=Remedy(
            summary="Take them away, or let the callers use the alias if its cold starts matter.",
            commands=tuple(
                on(function, "delete-provisioned-concurrency-config", "--qualifier", qualifier)
                for qualifier in qualifiers
            ),
            patches=removal_patches(function),
            rollback=tuple(
                on(
                    function,
                    "put-provisioned-concurrency-config",
                    "--qualifier",
                    qualifier,
                    "--provisioned-concurrent-executions",
                    str(function.provisioned[qualifier]),
                )
                for qualifier in qualifiers
            ),
        ),
    )


def log_search(function: FunctionFacts, pattern: str) -> str:
    """A command that shows log events of the window that match a pattern."""
    return aws(
        function,
        "filter-log-events",
        "--log-group-name",
        function.setup["log_group"],
        "--filter-pattern",
        pattern,
        "--start-time",
        str(round(function.window.start.timestamp() * 1000)),
        "--max-items",
        "50",
        service="logs",
    )
