"""The 80 functions of facts/lambda_functions.json as they are deployed, with the planted changes of configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from deployments.local.aws.names import function_arn, function_name
from deployments.local.aws.planted import planted

FACTS = Path(__file__).parent.parent / "facts" / "lambda_functions.json"

MEMORY_HISTORY_MB: tuple[tuple[int, int], ...] = ((10, 1024), (5, 1536))
"""For the function with a memory history: until so many days before the end of the corpus, it had so many MB."""

PROVISIONED = 5
RESERVED = 2

JSON_LOGS = frozenset(
    {"menus-daily", "payments-webhook-handler", "analytics-executive-dashboard", "nutrition-compliance"}
)
"""Keys of the functions whose LoggingConfig says JSON."""

TRACED = frozenset({"orders-create", "payments-verify", "rfid-verify-card"})
"""Keys of the functions with active X-Ray tracing: 5 % of their REPORT lines carry a trace."""

CRITICAL = frozenset({"orders-create", "rfid-verify-card"})
"""Keys of the functions that carry the tag `criticality=critical`."""


@dataclass(frozen=True)
class Function:
    """One deployed function; memory in MB, time-out in seconds."""

    key: str
    runtime: str
    memory_mb: int
    timeout_s: int
    reserved: int | None
    provisioned: int | None
    log_format: Literal["Text", "JSON"]
    log_group: str
    traced: bool
    events: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """The name in AWS."""
        return function_name(self.key)

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return function_arn(self.name)

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that depend on the key alone, for values that look arbitrary and never change."""
        return hashlib.sha256(self.key.encode()).digest()

    @property
    def schedules(self) -> tuple[str, ...]:
        """The `rate(…)` and `cron(…)` expressions that invoke it."""
        return tuple(event["rate"] for event in self.events if event["type"] == "schedule")


def load() -> tuple[Function, ...]:
    """Every function of the platform, in the order of serverless.yml."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return tuple(_function(row) for row in facts["functions"])


def idle(count: int) -> tuple[Function, ...]:
    """So many functions that are no part of the platform, for accounts larger than it: `extra-0001` and on."""
    keys = (f"extra-{number:04d}" for number in range(1, count + 1))
    return tuple(
        Function(
            key=key,
            runtime="nodejs22.x",
            memory_mb=256,
            timeout_s=30,
            reserved=None,
            provisioned=None,
            log_format="Text",
            log_group=f"/aws/lambda/{function_name(key)}",
            traced=False,
            events=(),
        )
        for key in keys
    )


def _function(row: dict[str, Any]) -> Function:
    key = row["name"]
    return Function(
        key=key,
        runtime="nodejs14.x" if key == planted("runtime-unsupported").function else row["runtime"],
        memory_mb=row["memory_mb"],
        timeout_s=row["timeout_s"],
        reserved=RESERVED if key == planted("throttles").function else row["reserved_concurrency"],
        provisioned=PROVISIONED if key == planted("provisioned-unused").function else row["provisioned_concurrency"],
        log_format="JSON" if key in JSON_LOGS else "Text",
        log_group=(
            "/hasivu/invoices" if key == planted("custom-log-group").function else f"/aws/lambda/{function_name(key)}"
        ),
        traced=key in TRACED,
        events=tuple(row["events"]),
    )
