"""Errors, throttles, bursts, runtimes without support, and functions that nobody calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.lambda_functions.advise.commands import aws, configure, on, patches, undo_configure
from tasks.components.lambda_functions.advise.finding import critical_note, evidence, finding
from tasks.components.lambda_functions.advise.starts import log_search
from tasks.components.lambda_functions.facts import Facts, FunctionFacts, Runtime, runtimes
from tasks.components.lambda_functions.quantiles import ratio_interval

ERRORS = 0.01
"""Share of failed invocations above which someone must look (platform target: below 1 %)."""

THROTTLES = 0.01
"""Share of requests turned away above which someone must look."""

BURST = 5.0
"""Times that the busiest minute exceeds the mean minute of the busiest hour, above which hourly figures mislead."""

CROWD = 20
"""Calls within a minute from which a burst needs environments of its own."""

_LISTED = 10
_IDLE_APART = 5
_CONCURRENCY_QUOTA = "L-B99A9384"


def surely_above(part: int, whole: int, limit: float) -> bool:
    """Whether even the low end of the share's 95 % interval is above a limit: one failure of seventy is not."""
    interval = ratio_interval(min(part, whole), whole)
    return interval is not None and interval[0] > limit


def errors(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """Functions with more than 1 % failed invocations."""
    calls, failed = function.count("Invocations"), function.count("Errors")
    if not surely_above(failed, calls, ERRORS):
        return
    known = function.statistics
    timed_out = (
        f" {known.timeouts} ran into their time-out of {function.setup['timeout_s']} s."
        if known and known.timeouts
        else ""
    )
    kinds = f" By the platform: {_counted(known.error_types)}." if known and known.error_types else ""
    yield finding(
        "errors",
        function.name,
        title=f"{failed / calls:.1%} of invocations of {function.name} fail",
        detail=f"{failed} of {calls}.{timed_out}{kinds}{critical_note(function)}",
        severity=Severity.CRITICAL if function.criticality.critical else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=evidence(function, measurements, "lambda.errors.ratio", "lambda.duration.p95"),
        remedy=Remedy(
            summary="Read what the failed invocations say; give calls to others a time-out below the function's own.",
            commands=(log_search(function, '?ERROR ?"Task timed out" ?"Status: error"'),),
        ),
    )


def throttles(function: FunctionFacts, measurements: Sequence[Measurement], facts: Facts) -> Iterator[Finding]:
    """Functions that turn more than 1 % of requests away."""
    turned, calls = function.count("Throttles"), function.count("Invocations")
    if not surely_above(turned, turned + calls, THROTTLES):
        return
    reserved = function.setup["reserved"]
    remedy = _reserve(function, reserved, facts) if reserved is not None else _raise_account_limit(function)
    by = f"its reserved concurrency of {reserved}" if reserved is not None else "the account's concurrency limit"
    yield finding(
        "throttles",
        function.name,
        title=f"{turned / (turned + calls):.1%} of requests to {function.name} are turned away",
        detail=f"{turned} throttled beside {calls} invocations, by {by}.{critical_note(function)}",
        severity=Severity.CRITICAL if function.criticality.critical else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.LOW,
        evidence=evidence(function, measurements, "lambda.throttles.ratio", "lambda.concurrency.max"),
        remedy=remedy,
    )


def _reserve(function: FunctionFacts, reserved: int, facts: Facts) -> Remedy:
    """More reserved concurrency: nobody knows how many throttled requests came at once, so it is doubled."""
    wanted = max(reserved * 2, 10)
    return Remedy(
        summary=(
            f"Raise the reservation to {wanted} and measure again, or drop it if nothing behind the function "
            f"(a database, a partner) needs the limit. {_limit_note(facts)}"
        ),
        commands=(on(function, "put-function-concurrency", "--reserved-concurrent-executions", str(wanted)),),
        rollback=(on(function, "put-function-concurrency", "--reserved-concurrent-executions", str(reserved)),),
        patches=patches(
            function,
            f"reservedConcurrency: {wanted}",
            f"ReservedConcurrentExecutions: {wanted}",
            f"reserved_concurrent_executions = {wanted}",
        ),
    )


def _limit_note(facts: Facts) -> str:
    return next((f"({note})" for note in facts.notes if note.startswith("the account may run")), "")


def _raise_account_limit(function: FunctionFacts) -> Remedy:
    return Remedy(
        summary="Ask for a higher limit of concurrent executions, and look which function takes them.",
        commands=(
            aws(
                function,
                "request-service-quota-increase",
                "--service-code",
                "lambda",
                "--quota-code",
                _CONCURRENCY_QUOTA,
                "--desired-value",
                "2000",
                service="service-quotas",
            ),
        ),
    )


def bursts(function: FunctionFacts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """Functions whose busiest minute is many times the mean of their busiest hour: hourly figures hide it."""
    known = function.statistics
    if known is None or known.peak_minute < CROWD or known.peak_minute < BURST * known.peak_hour / 60:
        return
    times = known.peak_minute * 60 / known.peak_hour
    share = known.cold_start_ratio or 0.0
    yield finding(
        "bursts",
        function.name,
        title=f"{function.name} is called {known.peak_minute} times in its busiest minute",
        detail=(
            f"That is {times:.0f} times the mean of its busiest hour ({known.peak_hour} calls). Calls at one time "
            f"need one environment each; {share:.1%} of all found none.{critical_note(function)}"
        ),
        severity=Severity.INFO,
        impact=Level.MEDIUM if function.criticality.critical else Level.LOW,
        effort=Level.MEDIUM,
        evidence=evidence(
            function, measurements, "lambda.invocations.count", "lambda.concurrency.max", "lambda.cold_start.ratio"
        ),
        remedy=Remedy(
            summary=(
                "Size its concurrency from the busiest minute, never from hourly means: keep environments ready "
                "around the bell, or make its cold start short enough not to matter."
            ),
        ),
    )


def no_traffic(facts: Facts) -> Iterator[Finding]:
    """Functions without an invocation in the whole window, by CloudWatch and by their log; many are one finding."""
    idle = [each for each in facts.functions.values() if facts.has_metrics and _unused(each)]
    days = round(facts.window.seconds / 86_400)
    if len(idle) <= _IDLE_APART:
        for each in idle:
            yield _no_traffic(each.name, f"{each.name} was not called once in {days} days", [each])
    else:
        yield _no_traffic("functions", f"{len(idle)} functions were not called once in {days} days", idle)


def _unused(function: FunctionFacts) -> bool:
    return not function.invocations and function.statistics is None


def _no_traffic(subject: str, title: str, functions: Sequence[FunctionFacts]) -> Finding:
    names = [each.name for each in functions]
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    they = "" if len(functions) == 1 else f" They are {listed}."
    called = next((row["detail"] for each in functions for row in each.triggers), "")
    by = f" A trigger exists all the same: {called}." if called else ""
    return finding(
        "no_traffic",
        subject,
        title=title,
        detail=f"Neither CloudWatch nor the log knows a call: attack surface and upkeep without use.{they}{by}",
        severity=Severity.INFO,
        impact=Level.LOW,
        effort=Level.LOW,
        remedy=Remedy(
            summary="Switch it off for a month by reserving no concurrency; if nobody misses it, delete it.",
            commands=tuple(
                on(each, "put-function-concurrency", "--reserved-concurrent-executions", "0") for each in functions
            ),
            rollback=tuple(on(each, "delete-function-concurrency") for each in functions),
        ),
    )


def unsupported_runtimes(facts: Facts) -> Iterator[Finding]:
    """One finding per runtime whose support has ended by the end of the window, with the functions that run it."""
    day = facts.window.end.date()
    by_runtime: dict[str, list[FunctionFacts]] = {}
    for function in facts.functions.values():
        known = runtimes().get(function.setup["runtime"])
        if known is not None and known.end <= day:
            by_runtime.setdefault(known.name, []).append(function)
    for name, functions in sorted(by_runtime.items()):
        yield _unsupported(runtimes()[name], functions)


def _unsupported(runtime: Runtime, functions: Sequence[FunctionFacts]) -> Finding:
    names = [function.name for function in functions]
    who = names[0] if len(names) == 1 else f"{len(names)} functions"
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    change, back = ("--runtime", runtime.successor), ("--runtime", runtime.name)
    return finding(
        "runtime_unsupported",
        runtime.name,
        title=f"{who} on {runtime.name}, without support since {runtime.end:%d %B %Y}",
        detail=f"No security patches any more, and AWS ends creating and updating such functions: {shown}.",
        severity=Severity.WARNING,
        impact=Level.HIGH if any(each.criticality.critical for each in functions) else Level.MEDIUM,
        effort=Level.MEDIUM if len(functions) == 1 else Level.HIGH,
        remedy=Remedy(
            summary=f"Move to {runtime.successor}: test on staging, change the infrastructure code; or by command:",
            commands=tuple(command for each in functions for command in configure(each, *change)),
            rollback=tuple(command for each in functions for command in undo_configure(each, *back)),
            patches=(
                f"# serverless.yml\nprovider:\n  runtime: {runtime.successor}",
                f"# template.yaml (SAM)\nGlobals:\n  Function:\n    Runtime: {runtime.successor}",
                f'# Terraform, in each aws_lambda_function\nruntime = "{runtime.successor}"',
            ),
        ),
    )


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
