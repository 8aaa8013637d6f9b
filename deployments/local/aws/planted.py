"""The cases that lie in the emulated account on purpose: what a good analysis of it must say.

docs/local-aws.md lists the same cases; a test compares the two and checks each case against the generated data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deployments.local.aws.names import function_name

Kind = Literal[
    "memory-oversized",
    "memory-undersized",
    "cold-starts",
    "throttles",
    "errors",
    "runtime-unsupported",
    "no-traffic",
    "provisioned-unused",
    "memory-history",
    "bursts",
    "custom-log-group",
]


@dataclass(frozen=True, slots=True)
class PlantedCase:
    """One defect or trap: the function by its key in serverless.yml, its kind, and what should be said of it."""

    function: str
    kind: Kind
    expectation: str

    @property
    def deployed(self) -> str:
        """The function's name in AWS."""
        return function_name(self.function)


PLANTED: tuple[PlantedCase, ...] = (
    PlantedCase(
        "analytics-strategic-insights",
        "memory-oversized",
        "3,008 MB allocated, less than 10 % ever used, time spent waiting: shrink it, after a probe of its duration",
    ),
    PlantedCase(
        "pdf-generator",
        "memory-undersized",
        "at least 95 % of 1,024 MB used, some invocations killed (Runtime.OutOfMemory): raise the memory",
    ),
    PlantedCase(
        "orders-create",
        "cold-starts",
        "more than 10 % of invocations are cold and p95 of init exceeds 3 s on a critical function",
    ),
    PlantedCase(
        "mobile-delivery-tracking",
        "throttles",
        "reserved concurrency of 2 throttles more than 1 % of requests when the lunch bell rings: raise or drop it",
    ),
    PlantedCase(
        "payments-retry",
        "errors",
        "more than 1 % of invocations fail, some by time-out (Status: timeout)",
    ),
    PlantedCase(
        "invoice-templates",
        "runtime-unsupported",
        "nodejs14.x: past end of support since 2023-12-04 (nodejs18.x, which all others run, since 2025-09-01)",
    ),
    PlantedCase(
        "payments-advanced",
        "no-traffic",
        "no invocation in 14 days, no metric and an empty log group: not measured, candidate for removal",
    ),
    PlantedCase(
        "analytics-executive-dashboard",
        "provisioned-unused",
        "5 provisioned environments on alias live, callers use $LATEST: paid for, used by a daily check alone",
    ),
    PlantedCase(
        "nutrition-analyzer",
        "memory-history",
        "ran with 1,024, 1,536 and 2,048 MB within the window: three measured points without any probe",
    ),
    PlantedCase(
        "rfid-verify-card",
        "bursts",
        "swipes of a whole class within 30 s: concurrency by the minute is many times its hourly mean",
    ),
    PlantedCase(
        "invoice-mailer",
        "custom-log-group",
        "its logs lie in /hasivu/invoices (LoggingConfig), not below /aws/lambda",
    ),
)
"""Every planted case; `function` is the key in facts/lambda_functions.json."""


def planted(kind: Kind) -> PlantedCase:
    """The one planted case of `kind`."""
    return next(case for case in PLANTED if case.kind == kind)
