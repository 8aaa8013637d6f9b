"""What AWS Compute Optimizer says of the functions, where it is switched on: shown beside our own advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tasks.components.lambda_functions.account import Account
from tasks.components.lambda_functions.triggers import function_of

_FIELDS: list[pa.Field[Any]] = [
    pa.field("function", pa.string()),
    pa.field("finding", pa.string()),
    pa.field("reasons", pa.list_(pa.string())),
    pa.field("memory_mb", pa.int32()),
    pa.field("saving_month", pa.float64()),
    pa.field("invocations", pa.int64()),
    pa.field("days", pa.float64()),
]
RECOMMENDATIONS = pa.schema(_FIELDS)
"""One row per function that it judged: finding, the size it ranks first (null: none), dollars a month saved."""


def read_recommendations(account: Account, names: frozenset[str]) -> list[dict[str, Any]]:
    """Rows of `RECOMMENDATIONS` for the functions named; `NotMeasuredError` where it is not switched on or denied."""
    found: list[dict[str, Any]] = []
    for page in account.pages("compute-optimizer", "GetLambdaFunctionRecommendations"):
        rows = ((function_of(each.get("functionArn", "")), each) for each in page["lambdaFunctionRecommendations"])
        found += [_row(name, each) for name, each in rows if name in names]
    return found


def _row(name: str, each: Mapping[str, Any]) -> dict[str, Any]:
    options = sorted(each.get("memorySizeRecommendationOptions", []), key=lambda option: option.get("rank", 99))
    first: Mapping[str, Any] = options[0] if options else {}
    saving = first.get("savingsOpportunity", {}).get("estimatedMonthlySavings", {})
    return {
        "function": name,
        "finding": each.get("finding", ""),
        "reasons": list(each.get("findingReasonCodes", [])),
        "memory_mb": first.get("memorySize"),
        "saving_month": saving.get("value") if saving.get("currency", "USD") == "USD" else None,
        "invocations": each.get("numberOfInvocations", 0),
        "days": each.get("lookbackPeriodInDays"),
    }
