"""Advice on the database: one small file per kind of check, each pure over what was collected and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deployments.config import RunConfig
from storage.records import Finding, Measurement
from tasks.components.base import Samples
from tasks.components.database.advise import (
    bloat,
    blocking,
    capacity,
    checkpoints,
    foreign_keys,
    growth,
    invalid,
    memory,
    missing_index,
    pooler,
    read_heavy,
    redundant,
    replication,
    rewrites,
    sequences,
    settings,
    slow,
    transactions,
    unused,
    vacuum,
)
from tasks.components.database.advise.case import Case

CHECKS: tuple[Callable[[Case], list[Finding]], ...] = (
    missing_index.check,
    foreign_keys.check,
    redundant.check,
    unused.check,
    invalid.check,
    transactions.check,
    blocking.check,
    vacuum.check,
    bloat.check,
    sequences.check,
    capacity.check,
    pooler.check,
    replication.check,
    checkpoints.check,
    settings.check,
    memory.check,
    growth.check,
    slow.check,
    *rewrites.CHECKS,
    read_heavy.check,
)
"""All checks, in the order in which their findings are listed."""


def advise(samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """All findings; each names its subject, its evidence, a remedy and the way back."""
    case = Case.of(samples, measurements, config)
    return [finding for check in CHECKS for finding in check(case)]
