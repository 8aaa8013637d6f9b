"""What was seen of the cache → findings. Pure: the rules are in `advise_families` and `advise_server`."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig
from storage.records import Finding, Measurement
from tasks.components.base import Samples
from tasks.components.cache import advise_families, advise_server
from tasks.components.cache.case import Case


def findings(samples: Samples, measured: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Findings of one run, each with its evidence, remedy and, where a command exists, its undoing."""
    case = Case.of(samples, measured, config)
    rules = (*advise_families.RULES, *advise_server.RULES)
    return [found for rule in rules for found in rule(case)]
