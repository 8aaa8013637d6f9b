"""How every finding of the component is put together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from storage.records import ComponentId, Finding, Measurement
from tasks.components.lambda_functions.facts import FunctionFacts
from tasks.components.lambda_functions.per_function import pick

finding = partial(Finding.of, ComponentId.LAMBDA)
"""A finding about the functions."""


def evidence(function: FunctionFacts, measurements: Sequence[Measurement], *metrics: str) -> list[Measurement | None]:
    """The function's own measurements of some metrics."""
    return [pick(measurements, metric, function.name) for metric in metrics]


def optimizer_note(function: FunctionFacts) -> str:
    """What Compute Optimizer says of the function's memory, for a finding's detail; empty where it says nothing."""
    row = function.optimizer
    if row is None:
        return ""
    size = f", {row['memory_mb']} MB" if row["memory_mb"] is not None else ""
    return f" AWS Compute Optimizer: {', '.join([row['finding'], *(row['reasons'] or [])])}{size}."


def critical_note(function: FunctionFacts) -> str:
    """Why the function counts as critical, for a finding's detail; empty where it does not."""
    judged = function.criticality
    return f" It is critical ({judged.evidence}: {judged.detail})." if judged.critical else ""
